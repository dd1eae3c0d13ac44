"""Mistakes of any operator: left out, its inputs exchanged, another order of elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.hypotheses.mistake import Arrays, Mistake, outputs_of, with_attributes

_ORDINALS: Final = ("first", "second", "third", "fourth")
_MOST_READ: Final = 4
_OF_SEVERAL: Final = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Where"})
# Whose only input passing unchanged is what they do.
_PASS_ON: Final = frozenset({"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze"})


def left_out(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """The node passes one of its inputs on."""
    if node.operator in _PASS_ON or not inputs:
        return
    arrays = [v for v in inputs[:_MOST_READ] if v is not None and v.dtype.kind == "f"]
    if node.operator not in _OF_SEVERAL or not _broadcast(arrays):
        yield Mistake("", "were left out", _passing(0))
        return
    shape = np.broadcast_shapes(*(v.shape for v in arrays))
    fits = [i for i, v in enumerate(inputs[:_MOST_READ]) if v is not None and v.shape == shape]
    for index in fits:
        words = "were left out"
        if len(fits) > 1:
            words = f"only passed its {_ORDINALS[index]} input on"
        yield Mistake("", words, _passing(index))


def _broadcast(arrays: Sequence[Array]) -> bool:
    try:
        np.broadcast_shapes(*(values.shape for values in arrays))
    except ValueError:
        return False
    return True


def _passing(index: int) -> Callable[[Node, Arrays], Sequence[Array]]:
    return lambda _node, inputs: [np.asarray(inputs[index]).astype(np.float64)]


def arithmetic(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Sub and Div with exchanged operands, and one for the other."""
    if node.operator in ("Sub", "Div"):
        yield Mistake("operands", "were exchanged",
                      lambda node, inputs: outputs_of(node, inputs[::-1]))  # fmt: skip
    if node.operator in ("Mul", "Div") and len(inputs) == 2:
        with np.errstate(all="ignore"):
            roots = [np.sqrt(np.abs(np.asarray(v, np.float64))) for v in inputs]
        for index, values in enumerate(inputs):
            if values is not None and values.size == 1:
                for words, made in (
                    ("the root of it", roots[index]),
                    ("its square", values * values),
                ):
                    yield Mistake("factor", f"were {words}", _with(index, np.asarray(made)))
    if node.operator == "Concat" and len(inputs) > 1:
        yield Mistake("inputs", "were in reverse order",
                      lambda node, inputs: outputs_of(node, inputs[::-1]))  # fmt: skip


def _with(index: int, made: Array) -> Callable[[Node, Arrays], Sequence[Array]]:
    return lambda node, inputs: outputs_of(
        node, [made if position == index else v for position, v in enumerate(inputs)]
    )


def layouts(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Flatten, Reshape and DepthToSpace: the order of what they flatten."""
    values = inputs[0]
    if values is None:
        return
    if node.operator in ("Flatten", "Reshape") and values.ndim >= 3:
        made = outputs_of(node, inputs)[0]
        for words, turned in (
            ("flattened as (H, W, C)", np.moveaxis(values, 1, -1)),
            ("flattened as (C, H, W)", np.moveaxis(values, -1, 1)),
            ("flattened with height and width exchanged", values.swapaxes(-1, -2)),
        ):
            yield Mistake("", words, _shaped(turned, made.shape),
                          every=f"every {node.operator} {words}")  # fmt: skip
    if node.operator == "DepthToSpace":
        other = {"DCR": "CRD", "CRD": "DCR"}[node.get("mode", "DCR")]
        yield Mistake("mode", f"were {other}", with_attributes(mode=other),
                      every=f"the mode of every DepthToSpace were {other}")  # fmt: skip
    if node.operator == "Pad":
        for mode in ("constant", "reflect", "edge"):
            if mode != node.get("mode", "constant"):
                yield Mistake("mode", f"were {mode}", with_attributes(mode=mode))
        yield Mistake("pads", "were on the other side", _other_side)


def _shaped(values: Array, shape: tuple[int, ...]) -> Callable[[Node, Arrays], Sequence[Array]]:
    return lambda _node, _inputs: [values.reshape(shape)]


def _other_side(node: Node, inputs: Arrays) -> Sequence[Array] | None:
    if len(inputs) < 2 or inputs[1] is None:
        return None
    return outputs_of(node, [inputs[0], np.roll(inputs[1], inputs[1].size // 2), *inputs[2:]])

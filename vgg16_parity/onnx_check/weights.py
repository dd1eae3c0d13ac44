"""Whether a graph's weights are the checkpoint's, bit for bit; if not, what happened to them.

A wrong tensor is compared with what the usual mistakes of porting would have made of the right one.
Arrays are compared in blocks of outputs: next to nothing is in memory beside the two mapped files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.onnx_check.symbolic import WEIGHTED, Constant, Step
from vgg16_spec.architecture import Dense, Shape
from vgg16_spec.checkpoint import Checkpoint

Array: TypeAlias = NDArray[Any]
# A block of the checkpoint's outputs -> what a mistake would have made of it.
Mistake: TypeAlias = Callable[[Array], Array]

# The problem of tensors behind a node that could not be followed.
NOT_REACHED: Final = "not compared"

# Values per block.
_BLOCK: Final = 1 << 22
_CHW: Final = ("C", "H", "W")


@dataclass(frozen=True)
class Weight:
    """One of the checkpoint's tensors in the file.

    Attributes:
        tensor: its canonical name.
        initializer: its name in the file; empty where the file has none.
        problem: how it differs; empty where it is equal, bit for bit.
    """

    tensor: str
    initializer: str
    problem: str = ""


def compare(steps: tuple[Step, ...], checkpoint: Checkpoint, *, whole: bool) -> tuple[Weight, ...]:
    """Compare every tensor of the checkpoint with that of the step at its layer's position.

    Only steps with weights count: a missing ReLU shifts none.

    Args:
        steps: of the graph.
        checkpoint: the expected weights.
        whole: whether the graph could be followed to its end.
    """
    weighted = [step for step in steps if step.kind in WEIGHTED]
    results = []
    for i, layer in enumerate(checkpoint.configuration.weighted_layers):
        step = weighted[i] if i < len(weighted) else None
        for part in ("weight", "bias"):
            name = f"{layer.name}.{part}"
            constant = getattr(step, part, None)
            if constant is None:
                results.append(Weight(name, "", "is not in the graph" if whole else NOT_REACHED))
                continue
            order = step.order if step and part == "weight" and isinstance(layer, Dense) else ()
            problem = _problem(name, constant, order, checkpoint)
            results.append(Weight(name, constant.name, problem))
    return tuple(results)


def _problem(name: str, constant: Constant, order: tuple[str, ...], checkpoint: Checkpoint) -> str:
    found, expected = constant.array, checkpoint[name]
    if found.shape != expected.shape:
        return f"has the shape {found.shape} in canonical layout, expected {expected.shape}"
    maps = checkpoint.configuration.feature_shape if name == "fc1.weight" else None
    right = _reordering(maps, order)
    if found.dtype == np.float16:
        rounded = _equal(found.astype(np.float32), expected, _then(right, _as_float16))
        return "stored as float16" + ("" if rounded else ", and other values than the checkpoint's")
    if found.dtype != np.float32:
        return f"stored as {found.dtype}, expected float32"
    for words, mistake in _mistakes(maps, order, expected.shape):
        if _equal(found, expected, mistake):
            return words
    if expected.ndim > 1 and _equal(found.swapaxes(0, 1), expected, right):
        return "inputs and outputs swapped"
    for other, shape in checkpoint.configuration.weight_shapes.items():
        if other != name and shape == expected.shape and _equal(found, checkpoint[other], right):
            return f"has the values of {other}"
    return _difference(name, found, expected, right)


def _mistakes(
    maps: Shape | None, order: tuple[str, ...], shape: Shape
) -> Iterator[tuple[str, Mistake]]:
    """What may have happened to a tensor: as text, and as a function of the right one.

    The first is no mistake.
    """
    right = _reordering(maps, order)
    yield "", right
    if maps is not None:
        flattened = "".join(order)
        for wrong in (_CHW, ("H", "W", "C")):
            words = f"fc1's inputs in {''.join(wrong)} order where the graph flattens {flattened}"
            if wrong != order:
                yield words, _reordering(maps, wrong)
    if len(shape) == 4:
        yield "kernels transposed in height and width", lambda a: a.swapaxes(2, 3)
        yield "kernels rotated by half a turn", lambda a: a[:, :, ::-1, ::-1]
        colours = " (BGR for RGB)" if shape[1] == 3 else ""
        yield f"input channels reversed{colours}", lambda a: a[:, ::-1]
    yield "stored with the precision of float16", _then(right, _as_float16)
    yield "stored with the precision of bfloat16", _then(right, _as_bfloat16)


def _reordering(maps: Shape | None, order: tuple[str, ...]) -> Mistake:
    """(out, C * H * W) -> the same with the inputs in another order of C, H and W."""
    if maps is None or tuple(sorted(order)) != _CHW:
        return lambda a: a
    axes, sizes = [0, *(1 + _CHW.index(name) for name in order)], maps
    return lambda a: a.reshape(len(a), *sizes).transpose(axes).reshape(len(a), -1)


def _then(first: Mistake, second: Mistake) -> Mistake:
    return lambda a: second(first(a))


def _as_float16(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def _as_bfloat16(array: Array) -> Array:
    """To the nearest value with 8 bits of precision, ties to even."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def _blocks(shape: Shape) -> Iterator[slice]:
    rows = max(1, _BLOCK * shape[0] // max(int(np.prod(shape)), 1))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def _equal(found: Array, expected: Array, mistake: Mistake) -> bool:
    """Whether a mistake would have made the found values of the expected ones, bit for bit."""
    for block in _blocks(expected.shape):
        wanted = mistake(expected[block])
        if found[block].shape != wanted.shape or _differing(found[block], wanted).any():
            return False
    return True


def _differing(found: Array, wanted: Array) -> Array:
    # As bits: NaN equals itself, and -0 is not 0.
    ours, theirs = np.ascontiguousarray(found), np.ascontiguousarray(wanted)
    differing: Array = ours.view(np.uint32) != theirs.view(np.uint32)
    return differing


def _difference(name: str, found: Array, expected: Array, right: Mistake) -> str:
    """Two outputs in each other's place, or how many values differ, and by how much."""
    rows, count, largest = list[int](), 0, 0.0
    for block in _blocks(expected.shape):
        ours, theirs = found[block], right(expected[block])
        differing = _differing(ours, theirs)
        changed = np.flatnonzero(differing.reshape(len(differing), -1).any(axis=1))
        rows += (block.start + changed).tolist()
        count += int(np.count_nonzero(differing))
        with np.errstate(invalid="ignore"):
            errors = np.abs(ours.astype(np.float64) - theirs)
        largest = max(largest, float(np.nan_to_num(errors, nan=np.inf).max()))
    if len(rows) == 2 and not _differing(found[rows], right(expected[rows[::-1]])).any():
        what = "output classes" if name.startswith("predictions") else "outputs"
        return f"two {what} swapped: {rows[0]} and {rows[1]}"
    return f"{count:,} of {expected.size:,} values differ, by up to {largest:.1e}"

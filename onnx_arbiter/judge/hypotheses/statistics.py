"""Mistakes in normalisations: epsilons, variances and running statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.hypotheses.mistake import (
    Arrays,
    Change,
    Mistake,
    outputs_of,
    with_attributes,
    with_input,
)

# The defaults of PyTorch, Keras, timm's EfficientNets, BERT, Keras's ResNet, and their likes.
EPSILONS: Final = (1e-5, 1e-3, 1e-6, 1e-12, 1.001e-5, 1e-4, 1e-7, 1e-8, 1e-2, 1.1e-5, 0.0)
_LARGEST_EPSILON: Final = 0.011
_READ: Final = 5  # inputs of BatchNormalization
# How much of the batch goes into running statistics: PyTorch 0.1, Keras 0.01, TensorFlow's 0.001,
# and each taken for its complement.
_MOMENTA: Final = (0.1, 0.01, 0.001, 0.9, 0.99, 0.999, 0.003)


def epsilons(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Every other framework's epsilon."""
    del inputs
    own = node.get("epsilon", 1e-5)
    for epsilon in EPSILONS:
        if abs(epsilon - own) > 1e-5 * own:
            yield Mistake(
                "epsilon", f"were {epsilon:g}", with_attributes(epsilon=epsilon),
                every=f"the epsilon of every {node.operator} were {epsilon:g}",
            )  # fmt: skip


def added_epsilons(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """The same where a normalisation is spelt out, and a small constant is added."""
    del node
    for index, values in enumerate(inputs):
        if values is None or values.size != 1 or values.dtype.kind != "f":
            continue
        own = float(values.reshape(-1)[0])
        if 0 < own <= _LARGEST_EPSILON:
            for epsilon in EPSILONS:
                if abs(epsilon - own) > 1e-5 * own:
                    yield Mistake(
                        "epsilon", f"were {epsilon:g}", _constant(index, epsilon),
                        every=f"every epsilon of {own:g} were {epsilon:g}",
                    )  # fmt: skip


def _constant(index: int, number: float) -> Change:
    return with_input(index, lambda values: np.full(values.shape, number))


def batch(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """BatchNormalization: which statistics it uses."""
    if len(inputs) < _READ or node.get("training_mode", 0):
        return
    training = "were those of the batch, as in training"
    yield Mistake(
        "statistics", training, _statistics(lambda _m, _v, batch: batch[:2]),
        every=f"the statistics of every BatchNormalization {training}",
    )  # fmt: skip
    for noun, rest, made in _MISREAD:
        yield Mistake(noun, rest, _statistics(made))
    for share in _MOMENTA:
        rest = f"had been updated with this batch, of which they took {share:g}"
        for kind in (1, 2):
            yield Mistake("statistics", rest, _statistics(_updated(share, kind)))
    yield from _scales(1, 2)


# Makes a mean and a variance of those that a node has and of the batch's: mean, variance, and
# variance with n - 1.
_Made: TypeAlias = "Callable[[Array, Array, tuple[Array, Array, Array]], tuple[Array, Array]]"
_MISREAD: Final[tuple[tuple[str, str, _Made], ...]] = (
    ("statistics", "were 0 and 1, as before training", lambda m, v, _: (0 * m, 0 * v + 1)),
    ("variance", "were a standard deviation", lambda m, v, _: (m, np.square(v))),
    ("variance", "were taken for its own root", lambda m, v, _: (m, np.sqrt(np.abs(v)))),
    ("mean", "were missing", lambda m, v, _: (0 * m, v)),
    ("mean and variance", "were exchanged", lambda m, v, _: (v, m)),
    ("mean", "had the other sign", lambda m, v, _: (-m, v)),
)


def _updated(share: float, kind: int) -> _Made:
    """Running statistics after one more batch; kind 1 has its variance, 2 that with n - 1."""
    return lambda m, v, batch: (
        (1 - share) * m + share * batch[0],
        (1 - share) * v + share * batch[kind],
    )


def _statistics(made: _Made) -> Change:
    def change(node: Node, inputs: Arrays) -> Sequence[Array]:
        maps, _, _, mean, variance = (np.asarray(v).astype(np.float64) for v in inputs[:_READ])
        axes = (0, *range(2, maps.ndim))
        count = maps.size // maps.shape[1]
        spread = maps.var(axes)
        of_batch = maps.mean(axes), spread, spread * count / max(1, count - 1)
        return outputs_of(node, [*inputs[:3], *made(mean, variance, of_batch)])

    return change


def _scales(scale: int, bias: int) -> Iterator[Mistake]:
    yield Mistake("scale", "were missing", with_input(scale, np.ones_like))
    yield Mistake("bias", "were missing", with_input(bias, np.zeros_like))

    def exchanged(node: Node, inputs: Arrays) -> Sequence[Array] | None:
        if len(inputs) <= bias or inputs[bias] is None:
            return None
        changed = list(inputs)
        changed[scale], changed[bias] = inputs[bias], inputs[scale]
        return outputs_of(node, changed)

    yield Mistake("scale and bias", "were exchanged", exchanged)
    yield Mistake("scale", "were one more than it is", with_input(scale, lambda s: 1 + s))


def layers(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """LayerNormalization: how it divides."""
    values = np.asarray(inputs[0])
    axis = node.get("axis", -1) % values.ndim
    axes = tuple(range(axis, values.ndim))
    epsilon = node.get("epsilon", 1e-5)
    count = int(np.prod(values.shape[axis:]))
    if count > 1:
        yield Mistake("variance", "were divided by n - 1",
                      _divided(axes, lambda v: np.sqrt(v * count / (count - 1) + epsilon)),
                      every="every variance were divided by n - 1")  # fmt: skip
    yield Mistake("epsilon", "were added to the standard deviation",
                  _divided(axes, lambda v: np.sqrt(v) + epsilon))  # fmt: skip
    yield Mistake(
        "mean", "were not subtracted", _divided(axes, lambda v: np.sqrt(v + epsilon), False)
    )
    yield from _scales(1, 2)


def _divided(
    axes: tuple[int, ...], divisor: Callable[[Array], Array], centred: bool = True
) -> Change:
    def change(node: Node, inputs: Arrays) -> Sequence[Array]:
        del node
        values = np.asarray(inputs[0], np.float64)
        kept = values - values.mean(axes, keepdims=True) if centred else values
        found = kept / divisor(np.square(kept).mean(axes, keepdims=True))
        if len(inputs) > 1 and inputs[1] is not None:
            found = found * inputs[1]
        if len(inputs) > 2 and inputs[2] is not None:
            found = found + inputs[2]
        return [found]

    return change


def instances(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """InstanceNormalization and GroupNormalization: an unbiased variance, no scale or bias."""
    values = np.asarray(inputs[0])
    groups = node.get("num_groups", values.shape[1])
    count = values[0].size // max(1, groups)
    if count > 1:
        root = np.sqrt(count / (count - 1))

        def unbiased(node: Node, inputs: Arrays) -> Sequence[Array] | None:
            smaller = node.get("epsilon", 1e-5) * (count - 1) / count
            scaled = [inputs[0], np.asarray(inputs[1]) / root, *inputs[2:]]
            return with_attributes(epsilon=smaller)(node, scaled)

        yield Mistake("variance", "were divided by n - 1", unbiased)
    yield from _scales(1, 2)


def spelt_out(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """ReduceMean, in a normalisation that is spelt out."""
    del node, inputs

    def change(node: Node, inputs: Arrays) -> Sequence[Array] | None:
        made = outputs_of(node, inputs)[0]
        count = np.asarray(inputs[0]).size // max(1, made.size)
        return None if count < 2 else [made * (count / (count - 1))]

    yield Mistake("mean", "were divided by n - 1", change)


def responses(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """LRN: frameworks divide alpha by the size, or do not."""
    del inputs
    alpha, size = node.get("alpha", 1e-4), node.get("size", 1)
    yield Mistake("alpha", "were not divided by its size", with_attributes(alpha=alpha * size))
    yield Mistake("alpha", "were divided by its size twice", with_attributes(alpha=alpha / size))
    for bias in (1.0, 2.0):
        if bias != node.get("bias", 1.0):
            yield Mistake("bias", f"were {bias:g}", with_attributes(bias=bias))

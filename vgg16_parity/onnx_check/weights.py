"""Whether a graph's weights are the checkpoint's, bit for bit; if not, what happened to them.

Arrays are compared block by block: next to nothing is in memory beside the two mapped files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.onnx_check.symbolic import Constant, Step
from vgg16_parity.onnx_check.walk import TracedGraph
from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.comparison.known_mistakes import TO_FLOAT16
from vgg16_weights.comparison.which_mistake import (
    Difference,
    is_same,
    known_mistake,
    output_order,
)

Array: TypeAlias = NDArray[Any]

# The problem of tensors behind a node that could not be followed.
NOT_REACHED: Final = "not compared"
# How the problem of a tensor of another shape begins.
OTHER_SHAPE: Final = "has the shape"
# What the checkpoint's values and the graph's are called in words.
_SIDES: Final = ("the checkpoint's", "the graph's")


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


def compare(found: TracedGraph, checkpoint: Checkpoint) -> Iterator[Weight]:
    """Compare every tensor of the checkpoint with that of the step at its layer's position.

    Only steps with weights count: a missing ReLU shifts none.
    """
    steps = [step for step in found.steps if step.weight is not None]
    layers = checkpoint.configuration.weighted_layers
    for layer, step in zip_longest(layers, steps[: len(layers)]):
        for part in ("weight", "bias"):
            name, constant = f"{layer.name}.{part}", getattr(step, part, None)
            if constant is None:
                yield Weight(name, "", NOT_REACHED if found.problem else "is not in the graph")
            else:
                yield Weight(name, constant.name, _problem(name, constant, step, checkpoint))


def _problem(name: str, constant: Constant, step: Step, checkpoint: Checkpoint) -> str:
    found, expected = constant.array, checkpoint[name]
    if not constant.name:  # zeros, which no file had to keep
        count = int(np.count_nonzero(expected))
        return (
            f"is absent, as if it were 0: {count:,} of {expected.size:,} are not" if count else ""
        )
    if found.shape != expected.shape:
        return f"{OTHER_SHAPE} {found.shape} in canonical layout, expected {expected.shape}"
    if found.dtype not in (np.float32, np.float16):
        return f"stored as {found.dtype}, expected float32"
    order, maps = step.order, checkpoint.configuration.feature_shape
    if name == "fc1.weight" and sorted(order) == sorted("CHW"):
        expected = expected.reshape(-1, *maps)
        for other in {"CHW", "HWC"} - {order}:
            if is_same(as_maps(found, other, maps), expected):
                return f"fc1's inputs in {other} order where the graph flattens {order}"
        found = as_maps(found, order, maps)
    if found.dtype == np.float16:
        rounded = is_same(expected, found, TO_FLOAT16)
        return "stored as float16" + ("" if rounded else ", and other values than the checkpoint's")
    if is_same(found, expected):
        return ""
    return _mistake(name, found, expected, step, checkpoint)


def _mistake(name: str, found: Array, expected: Array, step: Step, checkpoint: Checkpoint) -> str:
    """What happened to a tensor of the right shape that has other values."""
    order = None
    if name.endswith(".bias") and step.weight is not None:
        weight = checkpoint[f"{name.removesuffix('bias')}weight"]
        order = output_order(weight, step.weight.array)
    configuration = checkpoint.configuration
    maps = configuration.feature_shape
    mistake = known_mistake(name, expected, found, maps, sides=_SIDES, order=order)
    if isinstance(mistake, str):
        return mistake
    for other, shape in configuration.weight_shapes.items():
        if shape == expected.shape and is_same(found, checkpoint[other]):
            return f"has the values of {other}"
    return _sized(mistake)


def _sized(found: Difference) -> str:
    """How many values differ, and by how much."""
    moved = f"with {found.arrangement}, " if found.arrangement else ""
    values = f"{found.differing:,} of {found.size:,} values differ"
    return f"{moved}{values}, by up to {found.largest:.1e}"


def as_maps(matrix: Array, order: str, maps: Shape) -> Array:
    """(out, features in this order of C, H and W) -> (out, C, H, W)"""
    sizes = dict(zip("CHW", maps, strict=True))
    unfolded = matrix.reshape(len(matrix), *(sizes[axis] for axis in order))
    return unfolded.transpose(0, *(1 + order.index(axis) for axis in "CHW"))

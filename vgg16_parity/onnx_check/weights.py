"""Whether a graph's weights are the checkpoint's, bit for bit; if not, what happened to them.

A wrong tensor is compared with what the usual mistakes of porting would have made of the right one.
Arrays are compared in blocks of outputs: next to nothing is in memory beside the two mapped files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vgg16_parity.onnx_check.symbolic import Constant
from vgg16_parity.onnx_check.walk import TracedGraph
from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.layouts import contiguous

Array: TypeAlias = NDArray[Any]

# The problem of tensors behind a node that could not be followed.
NOT_REACHED: Final = "not compared"
# How the problem of a tensor of another shape begins.
OTHER_SHAPE: Final = "has the shape"

# Values per block.
_BLOCK: Final = 1 << 22


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
                problem = _problem(name, constant, step.order, checkpoint)
                yield Weight(name, constant.name, problem)


def _problem(name: str, constant: Constant, order: str, checkpoint: Checkpoint) -> str:
    found = constant.array
    expected, others = checkpoint[name], checkpoint.configuration.weight_shapes
    if not constant.name:  # zeros, which no file had to keep
        count = int(np.count_nonzero(expected))
        return (
            f"is absent, as if it were 0: {count:,} of {expected.size:,} are not" if count else ""
        )
    if found.shape != expected.shape:
        return f"{OTHER_SHAPE} {found.shape} in canonical layout, expected {expected.shape}"
    if found.dtype not in (np.float32, np.float16):
        return f"stored as {found.dtype}, expected float32"
    readings = {"": found}
    if name == "fc1.weight" and sorted(order) == sorted("CHW"):
        maps = checkpoint.configuration.feature_shape
        expected = expected.reshape(-1, *maps)
        readings = {"": as_maps(found, order, maps)}
        for wrong in {"CHW", "HWC"} - {order}:
            words = f"fc1's inputs in {wrong} order where the graph flattens {order}"
            readings[words] = as_maps(found, wrong, maps)
    right = readings[""]
    if found.dtype == np.float16:
        rounded = _equal(right, expected, ir.DataType.FLOAT16)
        return "stored as float16" + ("" if rounded else ", and other values than the checkpoint's")
    if found.ndim == 4:
        colours = " (BGR for RGB)" if found.shape[1] == 3 else ""
        readings["kernels transposed in height and width"] = found.swapaxes(2, 3)
        readings["kernels rotated by half a turn"] = found[:, :, ::-1, ::-1]
        readings[f"input channels reversed{colours}"] = found[:, ::-1]
    if found.ndim > 1:
        readings["inputs and outputs swapped"] = right.swapaxes(0, 1)
    for words, reading in readings.items():
        if _equal(reading, expected):
            return words
    for precision in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
        if _equal(right, expected, precision):
            return f"stored with the precision of {precision.name.lower()}"
    for other in (o for o, shape in others.items() if o != name and shape == others[name]):
        if _equal(right, checkpoint[other]):
            return f"has the values of {other}"
    return _difference(name, right, expected)


def as_maps(matrix: Array, order: str, maps: Shape) -> Array:
    """(out, features in this order of C, H and W) -> (out, C, H, W)"""
    sizes = dict(zip("CHW", maps, strict=True))
    unfolded = matrix.reshape(len(matrix), *(sizes[axis] for axis in order))
    return unfolded.transpose(0, *(1 + order.index(axis) for axis in "CHW"))


def _blocks(found: Array, expected: Array) -> Iterator[tuple[int, Array, Array]]:
    """The first output of each block, and its values in both arrays as float32."""
    rows = max(1, _BLOCK * len(expected) // max(expected.size, 1))
    for start in range(0, len(expected), rows):
        ours, theirs = (contiguous(array[start : start + rows]) for array in (found, expected))
        yield start, ours.astype(np.float32, copy=False), theirs


def _equal(found: Array, expected: Array, precision: ir.DataType = ir.DataType.FLOAT) -> bool:
    """Whether two arrays are equal, once the expected values have this precision.

    Bits are compared: NaN equals itself, and -0 is not 0.
    """
    if found.shape != expected.shape:
        return False
    with np.errstate(over="ignore"):
        for _, ours, theirs in _blocks(found, expected):
            rounded = theirs.astype(precision.numpy(), copy=False).astype(np.float32, copy=False)
            if not np.array_equal(ours.view(np.uint32), rounded.view(np.uint32)):
                return False
    return True


def _difference(name: str, found: Array, expected: Array) -> str:
    """Two outputs in each other's place, or how many values differ, and by how much."""
    rows, count, largest = list[int](), 0, 0.0
    for start, ours, theirs in _blocks(found, expected):
        differing = ours.view(np.uint32) != theirs.view(np.uint32)
        rows += (start + np.flatnonzero(differing.reshape(len(ours), -1).any(axis=1))).tolist()
        count += int(np.count_nonzero(differing))
        with np.errstate(invalid="ignore"):
            errors = np.abs(ours.astype(np.float64) - theirs)
        largest = max(largest, float(np.nan_to_num(errors, nan=np.inf).max()))
    if len(rows) == 2 and _equal(found[rows], expected[rows[::-1]]):
        what = "output classes" if name.startswith("predictions") else "outputs"
        return f"two {what} swapped: {rows[0]} and {rows[1]}"
    return f"{count:,} of {expected.size:,} values differ, by up to {largest:.1e}"

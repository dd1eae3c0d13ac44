"""Measures what fewer bits cost: a quantised or float16 file's outputs against the arbiter's."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vgg16_spec.errors import counted

# Types that do not reduce precision, or that hold shapes and indices.
_WHOLE: Final = (
    *(ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64),
    *(ir.DataType.UINT32, ir.DataType.UINT64, ir.DataType.BOOL, ir.DataType.STRING),
)


@dataclass(frozen=True)
class Accuracy:
    """How close a file with fewer bits comes to the network in float64.

    Attributes:
        precision: of the weights: ``int8``, ``int4, int8`` or ``float16``.
        sqnr_db: signal-to-quantisation-noise ratio of the outputs over all pictures, in decibels,
            20 log10(rms(arbiter) / rms(difference)); ``None`` if nothing differs or a value is
            not finite.
        top1_agrees: the number of pictures with the arbiter's first class.
        pictures: their number.
    """

    precision: str
    sqnr_db: float | None
    top1_agrees: int
    pictures: int


def precision_of(model: ir.Model) -> str:
    """The types with fewer bits than float32 in which a graph stores its weights or rounds them.

    Empty if there are none. The most frequent type comes first.
    """
    kinds = Counter[str]()
    packed = set[ir.Value | None]()
    for node in model.graph:
        if node.op_type == "MatMulNBits":
            kinds[f"int{node.attributes.get_int('bits', 4)}"] += 1
            packed.update(node.inputs[1:])
    for value in model.graph.initializers.values():
        if value.const_value is not None and value not in packed:
            kinds += _counted(value.const_value)
    for node in model.graph:
        if "value" in node.attributes and node.op_type == "Constant":
            kinds += _counted(node.attributes["value"].as_tensor())
    if not kinds and any(node.op_type == "QuantizeLinear" for node in model.graph):
        return "int8"
    return ", ".join(kind for kind, _ in kinds.most_common())


def _counted(tensor: ir.TensorProtocol) -> Counter[str]:
    if len(tensor.shape) < 2 or tensor.dtype in _WHOLE:
        return Counter()
    return Counter({tensor.dtype.name.lower().removeprefix("u"): 1})


def measure(precision: str, outputs: NDArray[Any], expected: NDArray[np.float64]) -> Accuracy:
    """The accuracy of outputs, (pictures, classes), against the arbiter's."""
    found = outputs.astype(np.float64)
    signal, noise = (float(np.square(values).sum()) for values in (expected, expected - found))
    known = math.isfinite(noise) and noise > 0 and signal > 0
    return Accuracy(
        precision=precision,
        sqnr_db=round(10 * math.log10(signal / noise), 2) if known else None,
        top1_agrees=int(np.count_nonzero(found.argmax(axis=1) == expected.argmax(axis=1))),
        pictures=len(expected),
    )


def sentence(accuracy: Accuracy) -> str:
    """The accuracy as a sentence of the report."""
    how = "quantised" if "int" in accuracy.precision else "rounded"
    noise = "unknown" if accuracy.sqnr_db is None else f"{accuracy.sqnr_db:.1f} dB"
    return (
        f"{how} to {accuracy.precision}: SQNR {noise}, top-1 agrees on {accuracy.top1_agrees} of "
        f"{counted(accuracy.pictures, 'picture')}; not the checkpoint's weights"
    )

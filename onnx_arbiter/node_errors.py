"""The errors of a node's outputs: what its inputs bring, what it rounds, what it stores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.independence import independent_errors
from onnx_arbiter.numeric_modes import (
    FLOAT32_ROUNDOFF,
    ROUNDOFFS,
    SMALLEST,
    Mode,
    float32_units,
    is_float,
)
from onnx_arbiter.operators.operation import UNIT, Operation, Variance, add_up, squares_of
from onnx_arbiter.values import Value

# Values of a constant that are looked at together: weights show with the first that they are
# rounded, and all of a large layer's in float64 would take gigabytes.
_BLOCK: Final = 1 << 16
# float16's smallest number with all its bits.
_NORMAL: Final = 2.0**-14


@dataclass(frozen=True)
class OutputErrors:
    """The errors of one output of a node in one mode.

    Attributes:
        accumulated: the variance of a runtime's error after all nodes so far; None if it is exact.
        local: the same if the node alone computed it from its exact inputs, rounded.
        independent: the number of independent errors that ``accumulated`` is made of.
        common: the share of it that whole channels have in common.
        undecided: why rounding may have changed what it was computed from; empty if it has not.
    """

    accumulated: Variance = None
    local: Variance = None
    independent: float = math.inf
    common: float = 0.0
    undecided: str = ""


@dataclass(frozen=True)
class _Part:
    """What one input's error brings to an output."""

    variance: Variance
    independent: float
    common: float


def errors_of(
    operation: Operation,
    node: Node,
    inputs: Sequence[Value | None],
    types: Sequence[np.dtype[Any]],
    mode: Mode,
) -> list[OutputErrors]:
    """The errors of each output of a node, from those of the values that it reads."""
    if types and types[0] == np.float64 and not operation.selects:
        mode = replace(mode, sums=ROUNDOFFS["float64"], operands=0.0, stored=0.0)
    operation.decides = [False] * len(types)
    parts = _carried(operation, node, inputs, mode)
    constants = [_constant_rounding(value, mode) for value in inputs]
    given = [_read_rounding(value, mode) for value in inputs]
    nothing: Sequence[Variance] = (None,) * len(types)
    of_constants = operation.rounded(constants) if any(constants) else nothing
    of_inputs = operation.rounded(given) if any(given) else nothing
    below = [_below_normal(value) for value in inputs]
    if any(variance is not None for variance in below):
        both = zip(of_inputs, operation.carried(below), strict=True)
        of_inputs = tuple(add_up(*pair) for pair in both)
    before = (v.undecided.get(mode.name, "") for v in inputs if v is not None)
    reason = next(filter(None, before), "")
    chooses = f"{node.name or node.operator}: rounding may change which it chooses"
    found = list[OutputErrors]()
    for index, rounding in enumerate(operation.own(mode)):
        values, kind = operation.outputs[index], types[index]
        undecided = reason or (chooses if operation.decides[index] else "")
        if values.dtype.kind != "f":
            found.append(OutputErrors(undecided=undecided))
            continue
        own = add_up(rounding, _stored(operation, values, kind, inputs, mode))
        mine = [*parts[index], _Part(own, math.inf, operation.common)]
        total = add_up(*(part.variance for part in mine), of_constants[index])
        local = add_up(of_inputs[index], own)
        composed = _composed(operation, values, total, mine)
        found.append(OutputErrors(total, local, *composed, undecided))
    return found


def _carried(
    operation: Operation, node: Node, inputs: Sequence[Value | None], mode: Mode
) -> list[list[_Part]]:
    """For each output, what the error of each input brings.

    Two functions of one value, element by element, err together: x and its sigmoid. Their
    deviations then add up, and not their variances, which is the most that it can come to.
    """
    parts: list[dict[str | int, _Part]] = [{} for _ in operation.outputs]
    times = Counter(node.inputs)
    for index, value in enumerate(inputs):
        if value is None or (variance := value.accumulated.get(mode.name)) is None:
            continue
        # A value that is read twice brings the same error twice.
        if (often := times[node.inputs[index]]) > 1:
            variance = np.float32(often) * variance
        alone: list[Variance] = [None] * len(inputs)
        alone[index] = variance
        carried, common = operation.carried(alone), value.common.get(mode.name, 0.0)
        together = operation.carried_together(alone) if common else None
        for output, part in enumerate(carried):
            mixed, share = part, common
            if part is not None and together is not None:
                mixed = np.float32(1 - common) * part + np.float32(common) * together[output]
            # One factor or addend for many elements brings them one error.
            if operation.broadcasts and value.values.size < operation.outputs[output].size:
                share = 1.0
            brought = _Part(mixed, value.independent.get(mode.name, math.inf), share)
            by_element = operation.broadcasts and often == 1
            of = value.root or node.inputs[index] if by_element else index
            before = parts[output].get(of)
            parts[output][of] = brought if before is None else _together(before, brought)
    return [list(found.values()) for found in parts]


def _together(one: _Part, other: _Part) -> _Part:
    """Parts whose errors are one error."""
    if one.variance is None or other.variance is None:
        return other if one.variance is None else one
    variance = np.square(np.sqrt(one.variance) + np.sqrt(other.variance))
    independent = min(one.independent, other.independent)
    return _Part(variance, independent, max(one.common, other.common))


def _composed(
    operation: Operation, values: Array, total: Variance, parts: Sequence[_Part]
) -> tuple[float, float]:
    """How many independent errors an output's error is made of, and the common share of it.

    Of parts with the shares p of the variance, made of N errors each, it is 1 / Σ p²/N; and no more
    than the values themselves, of which equal ones round alike.
    """
    if total is None:
        return math.inf, 0.0
    if operation.rearranges and parts[0].variance is total:
        return parts[0].independent, parts[0].common
    if not (whole := _sum(total)) > 0:
        return math.inf, 0.0
    shares = [1.0 if part.variance is total else _sum(part.variance) / whole for part in parts]
    inverse = sum(share**2 / part.independent for share, part in zip(shares, parts, strict=True))
    common = sum(share * part.common for share, part in zip(shares, parts, strict=True))
    own = independent_errors(values.reshape(-1), total.reshape(-1))
    return min(1 / inverse if inverse else math.inf, own), min(common, 1.0)


def _sum(variance: Variance) -> float:
    return 0.0 if variance is None else float(variance.sum(dtype=np.float64))


def _constant_rounding(value: Value | None, mode: Mode) -> float:
    """By how much a mode that stores fewer bits rounds a constant, in u²/3 of its square."""
    if value is None or not value.is_constant or not mode.stored or not is_float(value.dtype):
        return 0.0
    flat = value.values.reshape(-1)
    starts = range(0, flat.size, _BLOCK)
    few = all(_has_few_bits(flat[start : start + _BLOCK], mode) for start in starts)
    return 0.0 if few else float(float32_units(mode.stored))


def _has_few_bits(values: Array, mode: Mode) -> bool:
    """Whether a mode stores values as they are: masks, whole numbers."""
    fractions = np.frexp(values.astype(np.float64))[0] / mode.stored
    return np.array_equal(fractions, np.rint(fractions))


def _read_rounding(value: Value | None, mode: Mode) -> float:
    """By how much a value is rounded where a node alone reads it, in u²/3 of its square."""
    if value is None or not is_float(value.dtype):
        return 0.0
    if mode.stored:
        return float(float32_units(mode.stored))
    if value.exact:
        return 0.0
    return float(float32_units(ROUNDOFFS.get(value.dtype.name, FLOAT32_ROUNDOFF)))


def _stored(
    operation: Operation,
    values: Array,
    kind: np.dtype[Any],
    inputs: Sequence[Value | None],
    mode: Mode,
) -> Variance:
    """The rounding of an output that is stored in fewer bits than float32."""
    if not is_float(kind):
        return None
    roundoff = max(mode.stored, ROUNDOFFS.get(kind.name, 0.0))
    narrower = any(v is not None and is_float(v.dtype) and v.dtype != kind for v in inputs)
    if roundoff <= FLOAT32_ROUNDOFF or (operation.selects and not narrower):
        return None
    stored = float32_units(roundoff) * np.float32(operation.stores) * squares_of(values)
    return stored + _variance_of_smallest(kind)


def _below_normal(value: Value | None) -> Variance:
    """The rounding of a value where a node alone reads it, of elements that have few bits left."""
    if value is None or value.exact or value.values.dtype.kind != "f":
        return None
    least = _variance_of_smallest(value.dtype)
    if not least or np.abs(value.values).min(initial=np.inf) >= _NORMAL:
        return None
    return np.full(value.values.shape, least, np.float32)


def _variance_of_smallest(dtype: np.dtype[Any]) -> np.float32:
    """The variance of an error of the smallest number of a type with a narrow range."""
    return np.float32((SMALLEST.get(dtype.name, 0.0) / UNIT) ** 2)

"""Operators without a rule: ONNX's reference implementation, and how errors move its outputs.

The values are those that ``onnx.reference`` computes in float64 where the operator takes it. An
error's effect is measured: `DRAWS` times, the inputs are moved by normal errors of the predicted
sizes, all multiplied by one factor that makes them large enough to be seen and small enough for the
operator to be linear; the mean square of what the outputs move by, divided by the factor's, is the
variance. Of 16 draws it is known to 35 % (its root to 18 %), but for one element in 10,000 it is
less than a quarter of the true one. The mean over the whole output is therefore its least value:
that at most doubles the sum of the variances, so that R stays above 0.7 of what it would be.

What the node itself rounds is not known. It is taken to be stable: eight roundings of each output,
and the effect of eight of each input and of its rms, as the coordinates of GridSample need. That
serves to predict what follows the node, not to judge it alone; and it is too little for a runtime
that is not stable, such as ONNX Runtime with its DFT of other lengths than powers of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnx_arbiter.error_model import Float32
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.fallbacks.function_bodies import schema_of
from onnx_arbiter.operators.operation import (
    REACH,
    UNIT,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    add_up,
    squares_of,
)

if TYPE_CHECKING:
    from onnx.reference import ReferenceEvaluator

DRAWS: Final = 16
ROUNDINGS: Final = 8
# How large the errors are made relative to the inputs' rms: far above the type's roundoff, and so
# small that the second order is a part of that size.
_SIZES: Final = MappingProxyType({"float64": 1e-6, "float32": 1e-3, "float16": 1e-1})


class Perturbed(Operation):
    """A node evaluated by ONNX's reference, and its response to errors by trying.

    Args:
        node: the node.
        inputs: what it read.

    Raises:
        Unsupported: the reference cannot evaluate it, or it gives no tensors.
    """

    def __init__(self, node: Node, inputs: Sequence[Array | None]) -> None:
        # A value that is read twice has two names here, for errors to move one at a time.
        names = (f"x{i}" if name else "" for i, name in enumerate(node.inputs))
        self._node = replace(node, inputs=tuple(names))
        self._kinds = _types(node, inputs)
        self._evaluator = self._prepared(inputs)
        self._exact = self._run(inputs)
        super().__init__(inputs, [_as_computed(values) for values in self._exact])
        self.why_not_alone = (
            f"no rule for {node.operator}: errors of this node alone are not predicted"
        )

    def _converted(self, inputs: Sequence[Array | None]) -> dict[str, Array]:
        return {
            name: values if kind is None else values.astype(kind)
            for name, values, kind in zip(self._node.inputs, inputs, self._kinds, strict=True)
            if name and values is not None
        }

    def _prepared(self, inputs: Sequence[Array | None]) -> ReferenceEvaluator:
        from onnx.reference import ReferenceEvaluator

        # The reference reads no output types.
        types = {name: np.dtype(np.float64) for name in self._node.outputs if name}
        try:
            return ReferenceEvaluator(model_of([self._node], types, self._converted(inputs)))
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            raise Unsupported(f"no rule for {self._node.operator}, and no reference") from error

    def _run(self, inputs: Sequence[Array | None]) -> list[Array]:
        try:
            found = self._evaluator.run(None, self._converted(inputs))
        # It is a collection of examples, with errors of many kinds for what they do not cover.
        except Exception as error:
            reason = f"no rule for {self._node.operator}, and ONNX's reference fails: {error}"
            raise Unsupported(reason) from error
        if not all(isinstance(values, np.ndarray | np.generic) for values in found):
            raise Unsupported(f"{self._node.operator} gives no tensor")
        named = iter(found)
        return [np.asarray(next(named)) if name else np.zeros(0) for name in self._node.outputs]

    def carried(self, variances: Sequence[Variance]) -> Variances:
        """The mean squares of what errors of these sizes, drawn at random, move the outputs by."""
        parts = [
            self._response(index, variance)
            for index, variance in enumerate(variances)
            if variance is not None and self._kinds[index] is not None
        ]
        return tuple(add_up(*(part[i] for part in parts)) for i in range(len(self.outputs)))

    def _response(self, index: int, variance: Float32) -> Variances:
        """The variances that the errors of one input cause."""
        nothing: Variances = (None,) * len(self.outputs)
        values, kind = self.inputs[index], self._kinds[index]
        assert values is not None
        assert kind is not None
        deviation = UNIT * np.sqrt(np.minimum(variance, 1e38), dtype=np.float64)
        if not deviation.any():
            return nothing
        factor = _SIZES[kind.name] * (_rms(values) or 1.0) / _rms(deviation)
        rng = np.random.default_rng(index)
        errors = (deviation * rng.standard_normal(values.shape) for _ in range(DRAWS))
        squares = [np.zeros(values.shape) for values in self.outputs]
        if any(exact.dtype.kind != "f" for exact in self._exact):
            for error in errors:
                self._decide(self._moved(index, values + REACH * error))
            errors = (deviation * rng.standard_normal(values.shape) for _ in range(DRAWS))
        for error in errors:
            moved = self._moved(index, values + factor * error)
            if moved is None:
                return nothing
            for total, found, exact in zip(squares, moved, self._exact, strict=True):
                if exact.dtype.kind == "f":
                    _add_square(total, found, exact)
        scale = DRAWS * (factor * UNIT) ** 2
        return tuple(_at_least_mean(total / scale) for total in squares)

    def _moved(self, index: int, values: Array) -> list[Array] | None:
        """The outputs for another value of an input.

        None if they have other shapes: the input is a size, which a runtime does not round.
        """
        given = (*self.inputs[:index], values, *self.inputs[index + 1 :])
        try:
            found = self._run(given)
        except Unsupported:
            return None
        same = all(a.shape == b.shape for a, b in zip(found, self._exact, strict=True))
        return found if same else None

    def _decide(self, moved: Sequence[Array] | None) -> None:
        """Note where errors change an integer."""
        for index, exact in enumerate(self._exact):
            if exact.dtype.kind != "f" and (
                moved is None or not np.array_equal(moved[index], exact)
            ):
                self.decides[index] = True

    def own(self, mode: Mode) -> Variances:
        """`ROUNDINGS` of the output, and the effect of as many of each input."""
        unit = float(float32_units(mode.sums)) * ROUNDINGS
        given = [
            None
            if values is None or values.dtype.kind != "f"
            else (unit * (np.square(values) + np.mean(np.square(values)))).astype(np.float32)
            for values in self.inputs
        ]
        decides = list(self.decides)
        carried = self.carried(given)
        self.decides = decides
        return tuple(
            add_up(part, np.float32(unit) * squares_of(y)) if y.dtype.kind == "f" else None
            for part, y in zip(carried, self.outputs, strict=True)
        )


def _rms(values: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def _add_square(total: Array, values: Array, exact: Array) -> None:
    both = np.isfinite(values) & np.isfinite(exact)
    difference = np.subtract(values, exact, dtype=np.float64, out=np.zeros_like(total), where=both)
    total += np.square(difference)


def _at_least_mean(variance: Array) -> Variance:
    if not variance.size or not variance.any():
        return None
    least: Array = np.maximum(variance, variance.mean())
    return least.astype(np.float32)


def _as_computed(values: Array) -> Array:
    return values.astype(np.float64, copy=False) if values.dtype.kind == "f" else values


def _types(node: Node, inputs: Sequence[Array | None]) -> list[np.dtype[Any] | None]:
    """The widest float type that the operator takes for each float input; None for others."""
    schema = schema_of(node)
    if schema is None:
        raise Unsupported(f"ONNX knows no {node.operator}")
    formal = list(schema.inputs)
    found = list[np.dtype[Any] | None]()
    for index, values in enumerate(inputs):
        if values is None or values.dtype.kind != "f":
            found.append(None)
            continue
        allowed = formal[min(index, len(formal) - 1)].types
        names = {"float64": "double", "float32": "float", "float16": "float16"}
        widest = next((n for n, of in names.items() if f"tensor({of})" in allowed), None)
        found.append(None if widest is None else np.dtype(widest))
    return found


def perturbed(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Any operator that ONNX's reference implements."""
    return Perturbed(node, inputs)


def _refusal(reason: str) -> Rule:
    def rule(node: Node, inputs: Sequence[Array | None]) -> Operation:
        del inputs
        raise Unsupported(f"{node.operator} {reason}")

    return rule


RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(
        (
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ),
        _refusal("draws at random: no two runtimes give the same values"),
    ),
    **dict.fromkeys(
        ("Loop", "Scan", "SequenceMap"),
        _refusal("runs a graph several times, which is not predicted"),
    ),
}

"""A wrong value, and which of the candidates explain it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from onnx_arbiter.compare import Verdict
from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array
from onnx_arbiter.judge.compare_values import compare
from onnx_arbiter.judge.search import OutOfTime, Search
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from onnx_arbiter.values import Value

# Computes what a mistake gives, and the words for it.
Candidate: TypeAlias = "tuple[str, Callable[[], Array]]"

# A mistake that leaves so little of the error explains it, whatever else there is.
_NEARLY_ALL: Final = 0.01
# One within rounding must also leave less than this: else a small error would fit anything.
_SMALLER: Final = 0.5
# Relative differences of what is computed the same.
_SAME: Final = 1e-9
# More explanations than these are none.
_MOST: Final = 3


@dataclass(frozen=True)
class Symptom:
    """A wrong value.

    Attributes:
        value: as the arbiter has it.
        deviation: of its predicted errors.
        observed: as a runtime has it.
        limits: R and Z.
    """

    value: Value
    deviation: Float64
    observed: Array
    limits: Limits = LIMITS

    def verdict(self, values: Array | None = None) -> Verdict:
        """The comparison with the arbiter's, or with what a mistake gives."""
        if values is None:
            return self._compared(self.value, self.deviation)
        deviation = self.deviation
        if values.shape != deviation.shape:
            deviation = np.full(values.shape, deviation.max(initial=0.0))
        # What the mistake gives is rounded as well.
        deviation = np.hypot(deviation, FLOAT32_ROUNDOFF * np.abs(values))
        return self._compared(replace(self.value, values=values), deviation)

    def _compared(self, value: Value, deviation: Float64) -> Verdict:
        return compare(self.observed, value, deviation, np.inf, self.limits)


def explained(candidates: Iterator[Candidate], symptom: Symptom, search: Search) -> str:
    """The words of the candidates that explain a symptom, while time lasts.

    Of candidates that compute the same, the first counts.
    """
    before = symptom.verdict().rms_error
    holding, nearly = list[_Found](), list[_Found]()
    for words, compute in _safely(candidates):
        try:
            search.tick()
            values = compute()
        except OutOfTime:
            break
        except Exception:  # noqa: S112 - a change that does not fit these shapes
            continue
        if values.shape != symptom.observed.shape:
            continue
        verdict = symptom.verdict(values)
        found = _Found(words, verdict.rms_error, values)
        if verdict.passed and verdict.rms_error <= _SMALLER * before:
            holding += [found] if found.is_new(holding) else []
        elif verdict.rms_error <= _NEARLY_ALL * before and np.isfinite(before):
            nearly += [found] if found.is_new(nearly) else []
    if not holding and nearly:
        least = min(found.error for found in nearly)
        holding = [found for found in nearly if found.error <= least / _SMALLER]
    return _together([found.words for found in holding])


@dataclass(frozen=True)
class _Found:
    """A mistake that explains a symptom, the error that it leaves, and what it computes."""

    words: str
    error: float
    values: Array

    def is_new(self, others: Sequence[_Found]) -> bool:
        return not any(np.allclose(self.values, o.values, rtol=_SAME, atol=0) for o in others)


def _together(words: Sequence[str]) -> str:
    """Explanations as one; none if there are too many, unless they are of one thing."""
    if len(words) < 2:
        return "".join(words)
    starts = {each.partition(" were ")[0] for each in words}
    if len(starts) == 1:
        ends = [each.partition(" were ")[2] for each in words]
        return f"{starts.pop()} were {' or '.join(ends)}"
    if len(words) > _MOST:
        return ""
    return " or ".join([words[0], *(each.removeprefix("as if ") for each in words[1:])])


def _safely(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """The candidates until making one fails, as no rule may know an operator."""
    while True:
        try:
            candidate = next(candidates)
        except Exception:  # OutOfTime, too: what was found so far counts
            return
        yield candidate

"""A value of a graph as the arbiter has it: exact, with the error to expect of a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import Mode
from onnx_arbiter.operators.operation import UNIT, Variance


@dataclass(frozen=True)
class Value:
    """A value of the graph, as the arbiter has it.

    Attributes:
        values: float64 for every float type, and for quantised integers, which may have errors;
            other integers and booleans in their own.
        dtype: the graph's type.
        exact: whether a runtime has it exactly, so that it is not rounded where it is read.
        accumulated: mode -> the variance of a runtime's error after all nodes so far; None if it is
            exact.
        independent: mode -> the number of independent errors that its error is made of.
        common: mode -> the share of the variance, 0 to 1, of errors that whole channels have in
            common: a mean over positions does not average them out.
        root: the value of which each element is a function of the element at its place, computed by
            operations element by element; empty if it is none.
        undecided: mode -> why rounding may have changed what it was computed from: the index of a
            maximum that has a rival, say. Nothing can be said of such a value.
        is_constant: whether it is a constant of the graph.
    """

    values: Array
    dtype: np.dtype[Any]
    exact: bool = True
    accumulated: Mapping[str, Variance] = field(default_factory=dict)
    independent: Mapping[str, float] = field(default_factory=dict)
    common: Mapping[str, float] = field(default_factory=dict)
    root: str = ""
    undecided: Mapping[str, str] = field(default_factory=dict)
    is_constant: bool = False

    def deviation(self, mode: Mode) -> Float64:
        """The predicted standard deviation of an error after all nodes so far."""
        return in_own_units(self.accumulated.get(mode.name), self, mode)


def in_own_units(variance: Variance, value: Value, mode: Mode) -> Float64:
    """The standard deviation that a variance stands for, at least the smallest number's."""
    if variance is None:
        return np.zeros(value.values.shape)
    exact = np.multiply(variance, UNIT**2, dtype=np.float64)
    deviation: Float64 = np.sqrt(exact + mode.smallest**2)
    return deviation

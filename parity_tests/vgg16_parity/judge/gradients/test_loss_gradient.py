"""The gradient at the logits and the variance of its rounding, term by term."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pytest

from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.tolerances import FINITE_DIFFERENCES, FLOAT64
from vgg16_parity.judge.gradients.backward import loss_gradient

FLOAT32: Final = MODES["float32"]
# Three images of four classes. No two logits, largest logits or sums of powers are alike.
LOGITS: Final = np.array([[0.5, -1.0, 2.0, 1.5], [4.0, 3.5, -2.0, 1.0], [-7.0, -3.0, -4.5, -6.0]])
VARIANCE: Final = np.array([[3.0, 1.0, 4.0, 7.0], [5.0, 9.0, 2.0, 6.0], [8.0, 11.0, 13.0, 10.0]])
LABELS: Final = np.array([2, 3, 0])
IMAGES, CLASSES = LOGITS.shape


def probabilities(logits: list[float]) -> list[float]:
    total = math.fsum(map(math.exp, logits))
    return [math.exp(logit) / total for logit in logits]


def test_it_is_the_probabilities_less_one_at_the_label() -> None:
    found = loss_gradient(ValueWithVariance(LOGITS, VARIANCE), LABELS, FLOAT32)
    expected = [
        [(p - (place == label)) / IMAGES for place, p in enumerate(probabilities(row))]
        for row, label in zip(LOGITS.tolist(), LABELS, strict=True)
    ]
    assert found.values == pytest.approx(np.array(expected))
    beyond = loss_gradient(ValueWithVariance(LOGITS + 5000, VARIANCE), LABELS, FLOAT32)
    assert beyond.values == pytest.approx(found.values)


def test_errors_of_the_logits_are_carried_along_the_derivative() -> None:
    found = loss_gradient(ValueWithVariance(LOGITS, VARIANCE), LABELS, FLOAT32)
    without = loss_gradient(ValueWithVariance(LOGITS, 0 * VARIANCE), LABELS, FLOAT32)
    step = 1e-5
    for image, label in enumerate(LABELS):
        expected = np.zeros(CLASSES)
        for place in range(CLASSES):
            ends = []
            for sign in (1, -1):
                moved = LOGITS[[image]].copy()
                moved[0, place] += sign * step
                value = ValueWithVariance(moved, np.zeros_like(moved))
                ends.append(loss_gradient(value, np.array([label]), FLOAT32).values[0] / IMAGES)
            derivative = (ends[0] - ends[1]) / (2 * step)
            expected += derivative**2 * VARIANCE[image, place]
        carried = (found.variance - without.variance)[image]
        # A central difference is wrong by the square of its step.
        assert carried == pytest.approx(expected, rel=FINITE_DIFFERENCES.limit, abs=0)


def test_each_rounding_has_its_term() -> None:
    found = loss_gradient(ValueWithVariance(LOGITS, 0 * VARIANCE), LABELS, FLOAT32)
    for image, (row, label) in enumerate(zip(LOGITS.tolist(), LABELS, strict=True)):
        shifted = [logit - max(row) for logit in row]
        logarithm = math.log(math.fsum(map(math.exp, shifted)))
        for place, p in enumerate(probabilities(row)):
            relative = (
                shifted[place] ** 2  # of the difference from the largest logit
                + logarithm**2  # of the logarithm of the sum
                + 6  # of exp, accurate to a unit in the last place, and of what follows
                + CLASSES / 3  # of the sum of positive terms
            )
            last = 2 * (p - (place == label)) ** 2
            roundings = (2.0**-24) ** 2 / 3 * (p**2 * relative + last)
            expected = pytest.approx(roundings / IMAGES**2, rel=FLOAT64.limit, abs=0)
            assert found.variance[image, place] == expected

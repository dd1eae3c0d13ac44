"""Every limit has a reason, and holds at its value."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from onnx_arbiter import limits
from onnx_arbiter.compare import compare_with_arbiter
from onnx_arbiter.limits import GRADIENT_LIMITS, LIMITS, STEP_LIMITS, Limits, Tolerance
from parity_tests.support import tolerances

MANY: Final = np.arange(1.0, 10_001)[np.newaxis]
# Limits -> R and Z, and R where there is a single independent error.
VALUES: Final = (
    (LIMITS, 1.5, 10.0, 5.802),
    (GRADIENT_LIMITS, 4.0, 20.0, 4.0),
    (STEP_LIMITS, 2.0, 10.0, 2.0),
)


def test_every_tolerance_has_a_reason() -> None:
    entries = [value for value in vars(tolerances).values() if isinstance(value, Tolerance)]
    for value in vars(limits).values():
        if isinstance(value, Limits):
            entries += [value.ratio, value.deviations]
    assert len(entries) >= 12
    assert all(len(entry.reason) > 40 for entry in entries)


# The values above are written with three decimals.
ROUNDED = 0.0005


@pytest.mark.parametrize(("held", "ratio", "deviations", "single"), VALUES)
@pytest.mark.parametrize(("factor", "passed"), [(0.999, True), (1.001, False)])
def test_limits_hold_at_their_values(
    held: Limits, ratio: float, deviations: float, single: float, factor: float, passed: bool
) -> None:
    one = np.ones_like(MANY)
    verdict = compare_with_arbiter(MANY - factor * ratio, MANY, one, limits=held)
    assert verdict.passed is passed
    assert verdict.ratio_limit == ratio
    furthest = MANY.copy()
    furthest[0, 7] -= factor * deviations
    assert compare_with_arbiter(furthest, MANY, one, limits=held).passed is passed
    # One value throughout: its one error may be larger than the rms of many.
    alike = compare_with_arbiter(one + factor * single, one, one, limits=held)
    assert alike.passed is passed
    # What not even one error explains is held against the limit of many.
    assert alike.ratio_limit == pytest.approx(single if passed else ratio, abs=ROUNDED)


def test_the_limits_of_the_forward_pass_are_those_that_are_applied_unless_told() -> None:
    one = np.ones_like(MANY)
    for observed in (MANY - 1.499, MANY - 1.501):
        assert compare_with_arbiter(observed, MANY, one) == compare_with_arbiter(
            observed, MANY, one, limits=LIMITS
        )

"""A change of classes is told apart from one that rounding explains."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.limits import LIMITS
from vgg16_parity.judge.layers import decide

Z = LIMITS.deviations.limit


def logits(**changes: float) -> np.ndarray:
    """Ten logits from 9 down to 0, with changes: (1, 10)."""
    values = np.arange(9.0, -1, -1)
    for place, value in changes.items():
        values[int(place[1:])] = value
    return values[np.newaxis]


@pytest.mark.parametrize(
    ("arbiter", "runtime", "outcome"),
    [
        (logits(), logits(), "agrees"),
        # The first two change places; the allowed error of both together is 2 * Z * 0.01.
        (logits(_0=8 + Z * 0.015), logits(_0=7.9), "inside"),
        (logits(_0=8 + Z * 0.025), logits(_0=7.9), "flipped"),
        # So do the fifth and the sixth, which the set of the first five tells.
        (logits(_5=5 - Z * 0.015), logits(_5=5.1), "inside"),
        (logits(_5=5 - Z * 0.025), logits(_5=5.1), "flipped"),
        # Places among the first five, the first apart, are no other decision.
        (logits(), logits(_1=6.5), "agrees"),
    ],
)
def test_a_decision_that_rounding_can_turn_is_told_from_one_it_cannot(
    arbiter: np.ndarray, runtime: np.ndarray, outcome: str
) -> None:
    (decision,) = decide(runtime, arbiter, np.full((1, 10), 0.01))
    assert decision.outcome == outcome
    assert decision.largest_error == np.abs(runtime - arbiter).max()
    ordered = np.sort(arbiter[0])
    assert decision.margin == ordered[-1] - ordered[-2]
    assert decision.arbiter_top1 == int(arbiter.argmax())
    assert decision.top1 == int(runtime.argmax())


def test_numbers_without_a_sign_keep_their_order() -> None:
    whole = np.arange(10, dtype=np.uint8)[np.newaxis]
    (decision,) = decide(whole, whole.astype(np.float64), np.full((1, 10), 0.01))
    assert (decision.top1, decision.outcome) == (9, "agrees")

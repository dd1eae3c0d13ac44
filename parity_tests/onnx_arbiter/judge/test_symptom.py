"""Which of several explanations of a wrong value are said, from arrays alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.judge.compare_values import compare
from onnx_arbiter.judge.search import Search
from onnx_arbiter.judge.symptom import Symptom, explained
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.values import Value

Array = Any

VALUES = np.random.default_rng(0).standard_normal((4, 64))
# A mistake moves every value by 1; rounding has a deviation of 1e-6.
SHIFT = 1.0
DEVIATION = np.full(VALUES.shape, 1e-6)
OBSERVED = VALUES + SHIFT


def symptom(observed: Array = OBSERVED) -> Symptom:
    return Symptom(Value(VALUES, np.dtype(np.float32)), DEVIATION, observed)


def leaving(error: float) -> Callable[[], Array]:
    """What a mistake computes that leaves so much of the error, at each value to either side."""
    sides = np.where(np.arange(VALUES.size).reshape(VALUES.shape) % 2, 1, -1)
    return lambda: OBSERVED + error * sides


def cause(*candidates: tuple[str, Callable[[], Array]]) -> str:
    return explained(iter(candidates), symptom(), Search())


def test_what_leaves_rounding_alone_is_the_cause() -> None:
    assert not symptom().verdict().passed
    assert cause(("as if it were a", leaving(0.5)), ("as if it were b", leaving(0.0))) == (
        "as if it were b"
    )


@pytest.mark.parametrize(("left", "explains"), [(0.0099, True), (0.0101, False)])
def test_what_leaves_a_hundredth_is_nearly_the_cause(left: float, explains: bool) -> None:
    assert cause(("as if it were a", leaving(left))) == ("as if it were a" if explains else "")


def test_a_cause_within_rounding_hides_those_that_nearly_explain() -> None:
    nearly, within = ("as if it were a", leaving(0.005)), ("as if it were b", leaving(0.0))
    assert cause(nearly, within) == "as if it were b"


def test_of_those_that_nearly_explain_the_best_are_said() -> None:
    best, twice, worse = (leaving(error) for error in (1e-3, 1.99e-3, 2.01e-3))
    candidates = (("as if its x were a", best), ("as if its x were b", twice))
    assert cause(*candidates, ("as if its x were c", worse)) == "as if its x were a or b"


def test_of_those_that_compute_the_same_the_first_is_said() -> None:
    one, other = leaving(0.0), leaving(0.0)
    assert cause(("as if its x were a", one), ("as if its x were b", other)) == "as if its x were a"


def apart(number: int) -> Callable[[], Array]:
    """Candidates that differ from each other by less than rounding."""
    return lambda: OBSERVED + 1e-7 * number


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["as if a", "as if b"], "as if a or b"),
        (["as if a", "as if b", "as if c"], "as if a or b or c"),
        (["as if a", "as if b", "as if c", "as if d"], ""),
        # Of one thing, any number.
        ([f"as if its x were {n}" for n in range(5)], "as if its x were 0 or 1 or 2 or 3 or 4"),
    ],
)
def test_several_are_said_together_unless_they_are_too_many(words: list[str], said: str) -> None:
    assert cause(*((each, apart(number)) for number, each in enumerate(words))) == said


def test_a_mistake_that_cannot_be_made_or_has_another_shape_is_passed_over() -> None:
    def impossible() -> Array:
        raise ValueError("another shape")

    assert cause(
        ("as if a", impossible), ("as if b", lambda: OBSERVED[:2]), ("as if c", leaving(0.0))
    ) == ("as if c")


def test_candidates_end_where_making_one_fails() -> None:
    def candidates() -> Iterator[tuple[str, Callable[[], Array]]]:
        yield "as if a", leaving(0.0)
        raise ValueError("no rule knows the operator")

    assert explained(candidates(), symptom(), Search()) == "as if a"


def test_candidates_end_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(3.0, _start=0.0)
    times = iter([1.0, 2.0, 3.1])
    monkeypatch.setattr("onnx_arbiter.judge.search.time.monotonic", lambda: next(times))
    candidates = iter([(f"as if its x were {n}", apart(n)) for n in range(3)])
    assert explained(candidates, symptom(), search) == "as if its x were 0 or 1"
    assert search.was_cut


def test_a_small_error_is_not_explained_by_everything_within_rounding() -> None:
    # Of 12 deviations: a candidate must leave less than half of it, too.
    observed = VALUES + 12e-6
    near = symptom(observed)
    assert not near.verdict().passed
    for left, said in ((6.1e-6, ""), (1e-6, "as if a")):
        candidates = [("as if a", partial(np.subtract, observed, left))]
        assert explained(iter(candidates), near, Search()) == said


def test_what_a_mistake_gives_is_rounded_too() -> None:
    large = 1e6 * np.ones((2, 8))
    exact = Symptom(Value(large, np.dtype(np.float32)), np.full(large.shape, 1e-12), large)
    # Half a unit in the last place of a float32 of this size.
    assert exact.verdict(large + 0.03).passed
    assert not exact.verdict(large + 1.0).passed
    turned = Symptom(Value(large, np.dtype(np.float32)), np.ones(large.shape), large.T + 5.0)
    assert turned.verdict(large.T).passed


def of(values: Array, kind: str = "float32") -> Value:
    return Value(values, np.dtype(kind))


@pytest.mark.parametrize(
    ("observed", "exact", "reason"),
    [
        ([1, 2], [1, 2], ""),
        ([1, 3], [1, 2], "1 of 2 values differ, which no rounding explains"),
        # Some runtimes have 32 bits only.
        ([2**31 - 1, -(2**31)], [2**62, -(2**63)], ""),
        ([2**31 - 2, 0], [2**62, 0], "1 of 2 values differ, which no rounding explains"),
        ([True, False], [True, True], "1 of 2 values differ, which no rounding explains"),
    ],
)
def test_whole_numbers_must_be_equal(observed: list[int], exact: list[int], reason: str) -> None:
    value = np.array(exact)
    none = np.zeros(value.shape)
    verdict = compare(np.array(observed), of(value, "int64"), none, np.inf, LIMITS)
    assert (verdict.passed, verdict.reason) == (not reason, reason)
    assert (verdict.ratio, verdict.max_error) == ((np.inf, np.inf) if reason else (0.0, 0.0))


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        ([np.inf, -np.inf, np.nan, 1.0], ""),
        ([np.inf, np.inf, np.nan, 1.0], "1 values that are infinite or NaN in the arbiter differ"),
        ([np.inf, -np.inf, 0.0, 1.0], "1 values that are infinite or NaN in the arbiter differ"),
        ([1.0, 2.0, np.nan, 1.0], "2 values that are infinite or NaN in the arbiter differ"),
    ],
)
def test_what_is_not_finite_must_be_the_same(observed: list[float], reason: str) -> None:
    exact = np.array([np.inf, -np.inf, np.nan, 1.0])
    verdict = compare(np.array(observed), of(exact), np.full(4, 1e-6), np.inf, LIMITS)
    assert (verdict.passed, verdict.reason) == (not reason, reason)


def test_nothing_is_within_rounding_and_another_shape_is_not() -> None:
    none = np.zeros((0, 3))
    assert compare(none, of(none), none, np.inf, LIMITS).passed
    other = compare(np.zeros((3, 0)), of(none), none, np.inf, LIMITS)
    assert other.reason == "its shape is (3, 0), the arbiter's is (0, 3)"


def test_a_quantised_value_without_an_error_must_be_equal() -> None:
    value, one = of(np.array([3.0, 4.0]), "uint8"), np.array([3, 5], np.uint8)
    assert not compare(one, value, np.zeros(2), np.inf, LIMITS).passed
    assert compare(one, value, np.ones(2), np.inf, LIMITS).passed
    assert compare(np.array([3, 4], np.uint8), value, np.zeros(2), np.inf, LIMITS).passed

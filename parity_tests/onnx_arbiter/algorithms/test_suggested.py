"""Which algorithms a layer's errors show: by their period, and by how likely they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.patterns import Fit
from onnx_arbiter.algorithms.recognition import ffts_of, suggested
from onnx_arbiter.algorithms.winograd import WINOGRAD

F2, F4_ROOTS, F4, F6, F6_ROUGH = WINOGRAD
SMALL, LARGE = FFTS[:2]
# A map of 20x20 fills more than half of a tile of either of these FFTs, and of no larger one.
SIDE: Final = 20
DIRECT: Final = 10.0
SURE: Final = (1.0, [5.0, 6.0, 7.0, 9.0])
# Algorithm -> R under it, and how much likelier it makes each channel's errors.
Fits = Mapping[Any, tuple[float, Sequence[float]]]


def scale(size: int) -> NDArray[np.float64]:
    """Twice as large along every row and column with which a tile of that size begins."""
    lines = np.where(np.arange(SIDE) % size == 0, 2.0, 1.0)
    return lines[:, np.newaxis] * lines


def shown(
    fits: Fits,
    size: int = 1,
    *,
    fail: bool = True,
    unshifted: Mapping[Any, Sequence[float]] | None = None,
    ratio: float = 2.0,
    deviation: NDArray[Any] | float = 1.0,
) -> Any:
    """Errors with the period of a size; ``unshifted`` has the gains without a shift of a channel.

    Any algorithm that neither names makes them unlikelier.
    """
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (1, 2, SIDE, SIDE))

    def fit(found: float, gains: Sequence[float]) -> Fit:
        return Fit(found, 5.0, DIRECT - np.array(gains))

    def by(algorithm: Algorithm) -> Fit:
        return fit(*fits.get(algorithm, (1.0, [-5.0])))

    def unshifted_by(algorithm: Algorithm | None) -> Fit:
        return fit(1.0, [0.0] if algorithm is None else (unshifted or {}).get(algorithm, [-5.0]))

    return SimpleNamespace(
        values=signs * scale(size),
        deviation=np.broadcast_to(deviation, (1, 2, SIDE, SIDE)),
        fail=fail,
        as_direct=fit(ratio, [0.0]),
        by=by,
        unshifted_by=unshifted_by,
    )


@pytest.mark.parametrize("fail", [True, False])
def test_an_algorithm_with_tiles_needs_their_period(fail: bool) -> None:
    fours, sixes = {F4_ROOTS: SURE, F4: (3.9, [1.0, 2.0, 4.0, 9.0])}, {F6: SURE, F6_ROUGH: SURE}
    assert suggested(shown(fours, 4, fail=fail)) == {F4_ROOTS: 6.5, F4: 3.0}
    assert suggested(shown(sixes, 6, fail=fail)) == {F6: 6.5, F6_ROUGH: 6.5}
    assert suggested(shown({**fours, **sixes}, fail=fail)) == {}


def test_a_period_is_that_of_errors_in_predicted_deviations() -> None:
    assert suggested(shown({F6: SURE}, 6, deviation=scale(6))) == {}
    assert suggested(shown({F6: SURE}, deviation=1 / scale(6))) == {F6: 6.5}


def test_the_smallest_tile_has_no_period_and_is_tried_where_a_direct_sum_fails() -> None:
    assert suggested(shown({F2: SURE})) == {F2: 6.5}
    assert suggested(shown({F2: SURE}, fail=False)) == {}
    assert suggested(shown({F2: SURE}, 2, fail=False)) == {F2: 6.5}


@pytest.mark.parametrize(
    ("gains", "told"),
    [
        # A quarter of the channels need not be likelier.
        ([-9.0, 0.25, 0.5, 0.75, 1.0], True),
        ([-9.0, -0.25, 0.5, 0.75, 1.0], False),
        ([-9.0, 0.0, 0.5, 0.75, 1.0], False),
        ([0.0] * 5, False),
        # A channel without errors has no say.
        ([nan, nan, nan, nan, 0.5], True),
        ([nan] * 5, False),
    ],
)
def test_three_quarters_of_the_channels_must_be_likelier(gains: list[float], told: bool) -> None:
    median = float(np.median([gain for gain in gains if gain == gain])) if told else nan

    def check(size: int, *algorithms: Algorithm) -> None:
        fits = dict.fromkeys(algorithms, (1.0, gains))
        shows = suggested(shown(fits, size, unshifted={SMALL: gains}))
        assert shows == (dict.fromkeys(algorithms, median) if told else {})

    check(6, F6)
    check(1, F2, SMALL)


def test_an_algorithm_that_does_not_fit_is_not_shown() -> None:
    for ratio, count in ((3.9, 1), (4.0, 0)):
        assert len(suggested(shown({F6: (ratio, SURE[1])}, 6))) == count
        fft = shown({SMALL: (ratio, SURE[1])}, unshifted={SMALL: SURE[1]})
        assert len(suggested(fft)) == count


def test_an_fft_is_shown_where_most_channels_are_likelier_but_for_a_shift() -> None:
    both = {SMALL: [0.3, 0.4, 0.5, -9.0], LARGE: [0.3, nan, 0.5, 0.6]}
    assert suggested(shown({}, unshifted=both)) == {LARGE: 0.5}
    both[SMALL] = [0.3, nan, 0.5, 0.6]
    assert suggested(shown({}, unshifted=both)) == {SMALL: 0.5, LARGE: 0.5}
    # Of a shift alone, as a wrong bias is, only the errors as they are may be likelier.
    assert suggested(shown({SMALL: SURE, LARGE: SURE})) == {}
    nothing = [nan] * 4
    assert suggested(shown({}, unshifted={SMALL: nothing, LARGE: [0.0] * 4})) == {}


def test_an_fft_is_tried_where_a_direct_sum_fails_and_no_period_shows() -> None:
    both = {SMALL: SURE[1]}
    assert suggested(shown({SMALL: SURE}, unshifted=both)) == {SMALL: 6.5}
    assert suggested(shown({SMALL: SURE}, unshifted=both, fail=False)) == {}
    with_a_period = shown({F6: SURE, F2: SURE, SMALL: SURE}, 6, unshifted=both)
    assert suggested(with_a_period) == {F2: 6.5, F6: 6.5}
    without = shown({F2: SURE, SMALL: SURE}, unshifted=both)
    assert suggested(without) == {F2: 6.5, SMALL: 6.5}


def test_ffts_are_those_for_the_maps_size_and_for_errors_of_their_own() -> None:
    assert ffts_of(shown({})) == [SMALL, LARGE]
    for ratio, some in ((15.9, True), (16.0, True), (16.1, False)):
        assert bool(ffts_of(shown({}, ratio=ratio))) is some
    high = shown({})
    high.values = np.zeros((1, 2, 40, 3))
    assert ffts_of(high) == list(FFTS[:3])

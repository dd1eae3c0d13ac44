"""Each convolution's likeliest FFT is named if FFTs explain every one that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import nan
from types import SimpleNamespace
from typing import Final, cast

import numpy as np
import pytest

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.patterns import Fit
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.pages.reports import verdict
from vgg16_parity.judge import algorithms
from vgg16_parity.judge.algorithms import NO_PATTERN, find_algorithm, find_fft
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence, Suggestion
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict
from vgg16_spec.checkpoint import Checkpoint

# Those that a map of this size may be computed by.
SMALLER, LARGER = FFTS[:2]
MAP: Final = (1, 1, 20, 20)
OFF: Final = verdict(reason="off")
RIGHT: Final = verdict()
ASSUMED: Final = Arithmetic(input_deviation=np.full((1, 3, 4, 4), 0.5))
# Layer -> how each of both FFTs fits its errors, R and the channels' costs; without, a direct sum.
# What is of another shape has no errors.
NO_ERRORS: Final = ()
Fit2 = tuple[tuple[float, list[float]], tuple[float, list[float]]]
Fits = Mapping[str, Fit2 | tuple[()] | None]
# The medians are 2 and 3, 5 and 1.
TWO: Final[Fits] = {
    "block1_conv1": ((1.0, [nan, 2.0, 9.0, 1.0]), (3.9, [3.0, 3.0, nan, 7.0])),
    "block2_conv1": ((1.0, [5.0, 5.0, 0.0]), (1.0, [1.0, 8.0, 0.0])),
}


def found(
    tiny: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    fits: Fits,
    verdicts: Mapping[str, tuple[float, bool, bool]] | None = None,
    *,
    alone: bool = True,
    direct: float = 9.0,
) -> list[Suggestion]:
    """What is suggested; ``verdicts`` has R, and whether the tap and the layer alone fail.

    ``direct`` is R of each layer's own errors as a direct sum's.
    """

    def own(_: Evidence, layer: object) -> object:
        each = fits[cast("SimpleNamespace", layer).name]
        if each is None:
            return SimpleNamespace(fail=False)
        if not each:
            return None

        def by(algorithm: Algorithm) -> Fit:
            ratio, costs = each[FFTS.index(algorithm)]
            return Fit(ratio, 0.0, np.array(costs))

        as_direct = SimpleNamespace(ratio=direct)
        return SimpleNamespace(fail=True, by=by, values=np.zeros(MAP), as_direct=as_direct)

    monkeypatch.setattr(algorithms, "own_errors", own)
    layers = [
        LayerVerdict(
            tap,
            replace(OFF if tap_fails else RIGHT, ratio=ratio),
            (OFF if layer_fails else RIGHT) if alone else None,
        )
        for tap, (ratio, tap_fails, layer_fails) in (
            verdicts or dict.fromkeys(fits, (9.0, True, True))
        ).items()
    ]
    outputs = {"block1_conv1": np.zeros(1)} if alone else {}
    case = CaseVerdict("case", tuple(layers), ())
    expectation = cast("ArbiterCase", None)
    evidence = Evidence(tiny, expectation, MODES["float32"], {}, outputs, case, assumed=ASSUMED)
    return list(find_fft(evidence))


@pytest.mark.parametrize("alone", [True, False])
def test_the_likeliest_of_each_layer_is_named(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    (only,) = found(tiny, monkeypatch, TWO, alone=alone)
    by = {"block1_conv1": SMALLER, "block2_conv1": LARGER}
    assert only.arithmetic == replace(ASSUMED, algorithms=by)
    words = f"block1_conv1: as by {SMALLER.name}; block2_conv1: as by {LARGER.name}"
    assert only.note == f"{WOULD_HOLD}with {words}; {NO_PATTERN}"
    assert not only.passes


def test_no_fft_is_named_where_none_fits_every_layer(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = {**TWO, "block3_conv1": ((4.0, [0.0]), (1.0, [9.0]))}
    (only,) = found(tiny, monkeypatch, fits)
    assert only.arithmetic.algorithms["block3_conv1"] == LARGER
    fits = {**fits, "block3_conv2": ((4.0, [0.0]), (4.0, [0.0]))}
    assert found(tiny, monkeypatch, fits) == []


def test_no_fft_is_tried_on_errors_far_beyond_its_own(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(found(tiny, monkeypatch, TWO, direct=15.9)) == 1
    assert found(tiny, monkeypatch, TWO, direct=16.1) == []


def test_a_layer_whose_own_errors_are_a_direct_sums_stays_one(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    (only,) = found(tiny, monkeypatch, {"block1_conv2": None, **TWO})
    assert set(only.arithmetic.algorithms) == set(TWO)
    assert found(tiny, monkeypatch, {"block1_conv2": None}) == []
    (only,) = found(tiny, monkeypatch, {"block1_conv2": NO_ERRORS, **TWO})
    assert set(only.arithmetic.algorithms) == set(TWO)


def test_only_what_fails_alone_counts_where_layers_were_run_alone(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {
        "block1_conv1": (9.0, False, True),
        "block2_conv1": (9.0, True, False),
        "fc1": (9.0, True, False),
    }
    (only,) = found(tiny, monkeypatch, TWO, shown)
    assert set(only.arithmetic.algorithms) == {"block1_conv1"}
    # No FFT computes what fails in a dense layer.
    assert found(tiny, monkeypatch, TWO, shown | {"fc1": (9.0, False, True)}) == []


def test_in_a_forward_pass_the_first_failure_decides(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = (9.0, True, True)
    behind = {"block1_conv1": fails, "block1_pool": fails, "block2_conv1": fails, "fc1": fails}
    assert len(found(tiny, monkeypatch, TWO, behind, alone=False)) == 1
    first = {"block1_pool": fails, "block2_conv1": fails}
    assert found(tiny, monkeypatch, TWO, first, alone=False) == []


def test_errors_beyond_any_rounding_are_no_ffts(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ratio, count in ((999.0, 1), (1000.0, 0), (nan, 0)):
        shown = {"block1_conv1": (9.0, True, True), "block2_conv1": (ratio, True, True)}
        assert len(found(tiny, monkeypatch, TWO, shown)) == count, ratio


def test_nothing_is_told_from_values_that_were_not_compared(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(*_: object) -> None:
        raise AssertionError("looked at")

    monkeypatch.setattr(algorithms, "own_errors", own)
    nothing = CaseVerdict("case", (), (), "beyond float32")
    evidence = Evidence(tiny, cast("ArbiterCase", None), MODES["float32"], {}, {}, nothing)
    assert list(find_fft(evidence)) == list(find_algorithm(evidence)) == []

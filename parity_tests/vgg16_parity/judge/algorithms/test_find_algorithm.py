"""Which algorithms are tried on which layers, in which order, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest

from onnx_arbiter.algorithms import recognition
from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.patterns import Fit
from onnx_arbiter.algorithms.winograd import WINOGRAD
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.pages.reports import verdict
from vgg16_parity.judge import algorithms
from vgg16_parity.judge.algorithms import LOGITS_ALONE, find_algorithm, find_logits_alone
from vgg16_parity.judge.evidence import Evidence, Suggestion
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict
from vgg16_spec.checkpoint import Checkpoint

A, B, C = WINOGRAD[:3]
FFT, LARGER_FFT = FFTS[:2]
NAMES: Final = {A: "A", B: "B", C: "C", FFT: "FFT", LARGER_FFT: "larger FFT"}
# Layer -> the algorithms that its errors show, and how much likelier they are. A failing layer has
# a value for what it does not show, too: how much likelier its errors are, and R under it.
Shown = Mapping[str, Mapping[Any, float]]
Fits = Mapping[str, Mapping[Algorithm, tuple[float, list[float]]]]


def case(*failing: str) -> CaseVerdict:
    off, right = verdict(reason="off"), verdict()
    taps = ("block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2", "fc1")
    layers = tuple(LayerVerdict(tap, off if tap in failing else right) for tap in taps)
    return CaseVerdict("case", layers, ())


def tried(
    tiny: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    shown: Shown,
    fits: Fits | None = None,
    *failures: tuple[str, ...],
    alone: bool = True,
) -> list[dict[str, str]]:
    """What is suggested, where each of the ``failures`` is left by the suggestion before."""

    def own(_: Evidence, layer: Any) -> object:
        if layer.name not in shown:
            return None
        of = (fits or {}).get(layer.name, {})

        def by(algorithm: Algorithm) -> Fit:
            ratio, gains = of[algorithm]
            return Fit(ratio, 0.0, 10 - np.array(gains))

        direct = Fit(1.0, 1.0, np.full(3, 10.0))
        return SimpleNamespace(name=layer.name, fail=bool(of), by=by, as_direct=direct)

    left = iter(failures)
    monkeypatch.setattr(algorithms, "own_errors", own)
    monkeypatch.setattr(recognition, "suggested", lambda errors: dict(shown[errors.name]))
    monkeypatch.setattr(Evidence, "_judge_as", lambda *_: case(*next(left, ())))
    outputs = {"block1_conv1": np.zeros(1)} if alone else {}
    deviation = np.full((1, 3, 4, 4), 0.5)
    evidence = Evidence(
        tiny,
        cast("ArbiterCase", None),
        MODES["float32"],
        {},
        outputs,
        case("block1_conv1"),
        assumed=Arithmetic(input_deviation=deviation),
    )
    found = list[Suggestion](find_algorithm(evidence))
    assert all(each.passes for each in found)
    assert all(each.arithmetic.input_deviation is deviation for each in found)
    ways = [dict(each.arithmetic.algorithms) for each in found]
    assert [each.note for each in found] == [algorithms.described(evidence, way) for way in ways]
    return [{layer: NAMES[cast("Any", each)] for layer, each in way.items()} for way in ways]


def every(tiny: Checkpoint, name: str, **others: str) -> dict[str, str]:
    return {layer.name: others.get(layer.name, name) for layer in tiny.configuration.convolutions}


def test_a_layer_without_a_tap_is_as_the_others_together_show(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B is the likelier in one layer, A in all.
    shown: Shown = {"block1_conv1": {B: 3.0, A: 2.0}, "block1_conv2": {A: 2.0}}
    assert tried(tiny, monkeypatch, shown) == [every(tiny, "A")]
    shown = {"block1_conv1": {B: 3.0, A: 2.0}, "block1_conv2": {B: 0.1}}
    assert tried(tiny, monkeypatch, shown) == [every(tiny, "B")]


def test_a_layer_that_shows_none_is_a_direct_sum_unless_it_fails(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: Shown = {"block1_conv1": {A: 2.0, B: 1.0, C: 0.5}, "block1_conv2": {}}
    (found,) = tried(tiny, monkeypatch, shown)
    assert "block1_conv2" not in found
    # The median of the channels that have errors decides, and only where R is small.
    for of_a, of_b, taken in (
        ((3.9, [-0.9, -0.01, 5.0]), (1.0, [9.0, 9.0, 9.0]), "A"),
        ((3.9, [-0.03, -0.03, 5.0]), (1.0, [-0.9, 0.1, nan]), None),
        ((4.0, [5.0, 5.0, 5.0]), (3.9, [-0.01, -0.01, -0.01]), "B"),
        ((1.0, [nan, -0.01, -0.01]), (4.0, [5.0, 5.0, 5.0]), "A"),
        ((1.0, [nan, nan, nan]), (4.0, [5.0, 5.0, 5.0]), None),
    ):
        fits: Fits = {"block1_conv2": {A: of_a, B: of_b, C: (4.0, [0.0, 0.0, 0.0])}}
        (found,) = tried(tiny, monkeypatch, shown, fits)
        assert found.get("block1_conv2") == taken


@pytest.mark.parametrize("alone", [True, False])
def test_what_still_fails_is_tried_by_its_next_algorithm(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    shown: Shown = {
        "block1_conv1": {A: 3.0, B: 2.0, C: 1.0},
        "block1_conv2": {A: 3.0, B: 2.0, C: 1.0},
        "block2_conv1": {A: 3.0},
    }
    # What has no other algorithm and what is no convolution stay as they are.
    fails = ("block1_conv1", "block1_conv2", "block2_conv1", "fc1")
    found = tried(tiny, monkeypatch, shown, None, fails, fails, fails, fails, alone=alone)
    changed = [{"block1_conv1": "B"}, {"block1_conv1": "C"}]
    if alone:
        changed = [dict.fromkeys(("block1_conv1", "block1_conv2"), name) for name in "BC"]
    assert found == [every(tiny, "A"), *(every(tiny, "A", **each) for each in changed)]
    # In a forward pass, the second is tried once the first holds.
    found = tried(tiny, monkeypatch, shown, None, fails, fails[1:], fails[2:], alone=alone)
    both = (
        {"block1_conv1": "B", "block1_conv2": "C"}
        if alone
        else {
            "block1_conv1": "B",
            "block1_conv2": "B",
        }
    )
    assert found[2:] == [every(tiny, "A", **both)]
    assert len(tried(tiny, monkeypatch, shown, None, fails[2:], fails, alone=alone)) == 1


def test_an_fft_is_tried_on_the_layers_that_show_it_alone(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: Shown = {
        "block1_conv1": {FFT: 2.0, LARGER_FFT: 3.0, A: 1.0},
        "block1_conv2": {A: 2.0, FFT: 1.0},
        "block2_conv1": {FFT: 2.0},
        "block2_conv2": {},
    }
    # What failed as a direct sum may be by an algorithm that others show, but by no FFT of theirs.
    fits: Fits = {"block2_conv2": {A: (1.0, [0.0, 0.0, 0.0])}}
    fails = ("block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2")
    found = tried(tiny, monkeypatch, shown, fits, fails)
    first = every(tiny, "A", block1_conv1="larger FFT", block2_conv1="FFT")
    assert found == [first, first | {"block1_conv1": "FFT"}]
    (only,) = tried(tiny, monkeypatch, {"block2_conv1": {FFT: 2.0}})
    assert only == {"block2_conv1": "FFT"}


def test_where_no_layer_shows_one_none_is_tried(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(tiny, monkeypatch, {"block1_conv1": {}, "block1_conv2": {}}) == []


@pytest.mark.parametrize(
    ("taps", "ratio", "told"),
    [
        (("predictions",), 999.0, True),
        (("predictions",), 1000.0, False),
        (("fc2",), 9.0, False),
        (("fc2", "predictions"), 9.0, False),
        ((), 9.0, False),
    ],
)
def test_logits_alone_are_judged_by_the_roughest_algorithm(
    tiny: Checkpoint, taps: tuple[str, ...], ratio: float, told: bool
) -> None:
    layers = tuple(LayerVerdict(tap, verdict(ratio, reason="off")) for tap in taps)
    expectation = cast("ArbiterCase", SimpleNamespace(last="predictions"))
    shown = CaseVerdict("case", layers, ())
    found = list(find_logits_alone(Evidence(tiny, expectation, MODES["float32"], {}, {}, shown)))
    convolutions = [layer.name for layer in tiny.configuration.convolutions]
    by = Arithmetic(algorithms=dict.fromkeys(convolutions, WINOGRAD[-1]))
    assert found == [Suggestion(by, LOGITS_ALONE, passes=False)] * told

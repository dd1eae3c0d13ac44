"""A case is judged again by what the arbiter computes so, once for each way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.algorithms.winograd import WINOGRAD
from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.right_gradients import NETWORK
from vgg16_parity.judge import evidence as evidence_module
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.network.prediction import expect
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

FLOAT32, BFLOAT16 = MODES["float32"], MODES["bfloat16"]
ONE, OTHER = generate(NETWORK, 1), generate(NETWORK, 2)


def answers(checkpoint: Checkpoint, folder: Path) -> ArbiterCase:
    images = np.random.default_rng(0).standard_normal((2, *NETWORK.input_shape)).astype(np.float32)
    return expect(checkpoint, Case("noise", images, ("a", "b")), [FLOAT32], folder)


def right(of: ArbiterCase) -> dict[str, Any]:
    return {
        tap: np.maximum(of.preactivation(tap), 0 if relu else -np.inf)
        for tap, relu in of.relus.items()
    }


def shown(of: ArbiterCase, taps: dict[str, Any], **options: Any) -> Evidence:
    facts: dict[str, Any] = {"layers": {}, **options}
    return Evidence(ONE, of, FLOAT32, taps, verdict=CaseVerdict("noise", (), ()), **facts)


def failed(verdict: CaseVerdict) -> set[str]:
    return {layer.tap for layer in verdict.layers if not layer.accumulated.passed}


def test_a_case_is_judged_by_other_weights_or_its_own(tmp_path: Path) -> None:
    one, other = answers(ONE, tmp_path / "one"), answers(OTHER, tmp_path / "other")
    of_other = shown(one, right(other), layers=right(one))
    assert failed(of_other.judge_as(PLAIN)) == set(one.relus)
    # Layers alone were given what its own weights make, and are left out.
    verdict = of_other.judge_as(PLAIN, OTHER)
    assert verdict.holds
    assert all(layer.local is None for layer in verdict.layers)
    own = shown(one, right(one), layers=right(one)).judge_as(PLAIN)
    assert own.holds
    assert all(layer.local is not None for layer in own.layers)


def test_a_case_is_judged_by_another_arithmetic(tmp_path: Path) -> None:
    one = answers(ONE, tmp_path / "one")
    taps = {tap: values * (1 + 2.0**-9) for tap, values in right(one).items()}
    run = shown(one, taps)
    assert failed(run.judge_as(PLAIN)) >= {"block1_conv1", "predictions"}
    assert run.judge_as(Arithmetic(modes={"block1_conv1": BFLOAT16})).holds


def test_logits_alone_and_taps_that_may_be_missing_are_judged_as_before(tmp_path: Path) -> None:
    one = answers(ONE, tmp_path / "one")
    taps = right(one)
    assert shown(one, {one.last: taps[one.last]}).judge_as(PLAIN).holds
    fewer = {tap: taps[tap] for tap in ("block1_conv1", one.last)}
    assert shown(one, fewer, taps_optional=True).judge_as(PLAIN).holds
    assert failed(shown(one, fewer).judge_as(PLAIN)) == set(taps) - set(fewer)


def test_the_arbiter_runs_once_for_each_arithmetic_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = answers(ONE, tmp_path / "one")
    asked = list[bool]()

    def judge(*arguments: Any, alike: bool, **options: Any) -> CaseVerdict:
        asked.append(alike)
        return judge_case(*arguments, alike=alike, **options)

    monkeypatch.setattr(evidence_module, "judge_case", judge)
    run = shown(one, right(one))
    winograd = Arithmetic(algorithms={"block2_conv1": WINOGRAD[0]})
    ways = [(PLAIN, None), (PLAIN, OTHER), (winograd, None)]
    found = [run.judge_as(*way) for way in ways]
    assert [run.judge_as(*way) for way in reversed(ways)] == found[::-1]
    # Layers that are computed in two ways are not compared with each other.
    assert asked == [True, True, False]

"""A runtime that computes in fewer bits than its lane says is judged by what it computes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import PICTURES
from vgg16_parity import inputs
from vgg16_parity.judge.found_modes import FoundModes, with_mode
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.network.prediction import expect
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint

BFLOAT16 = MODES["bfloat16"]


def test_what_float16_rounds_holds_as_float16_alone(tiny: Checkpoint, tmp_path: Path) -> None:
    case = inputs.pictures(tiny, PICTURES)
    float32, float16 = MODES["float32"], MODES["float16"]
    strict = expect(tiny, case, [float32], tmp_path / "case0")
    (found,) = FoundModes(tiny, tmp_path).in_mode([strict], float16)
    assert (found.folder.name, found.folder) == ("case0", tmp_path / "float16" / "case0")
    rounded = {
        tap: np.maximum(strict.preactivation(tap), 0 if relu else -np.inf).astype(np.float16)
        for tap, relu in strict.relus.items()
    }
    assert not judge_case(strict, float32, rounded, {}).holds
    assert judge_case(found, float16, rounded, {}).holds
    rounded["fc1"] *= 1.1
    verdict = judge_case(found, float16, rounded, {})
    assert [each.tap for each in verdict.layers if not each.accumulated.passed] == ["fc1"]


def test_a_mode_is_computed_once(tiny: Checkpoint, tmp_path: Path) -> None:
    case = inputs.pictures(tiny, PICTURES[:1])
    logits = expect(tiny, case, [MODES["float32"]], tmp_path / "case0", logits_only=True)
    modes = FoundModes(tiny, tmp_path)
    first = modes.in_mode([logits], MODES["bfloat16"])
    assert list(first[0].relus) == ["predictions"]
    times = {file: file.stat().st_mtime_ns for file in first[0].folder.iterdir()}
    assert modes.in_mode([logits], MODES["bfloat16"]) == first
    assert {file: file.stat().st_mtime_ns for file in first[0].folder.iterdir()} == times


def test_logits_are_judged_in_a_mode_that_was_not_foreseen(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    case, float32 = inputs.pictures(tiny, PICTURES), MODES["float32"]
    strict = expect(tiny, case, [float32], tmp_path / "case0", logits_only=True)
    (found,) = FoundModes(tiny, tmp_path).in_mode([strict], BFLOAT16)
    logits, deviation = found.preactivation("predictions"), found.tap("predictions", BFLOAT16)[2]
    # An R of 2 may be of few independent errors, for which the layers before are asked.
    one, _, many = (
        judge_case(found, BFLOAT16, {"predictions": logits + factor * deviation}, {}).holds
        for factor in (1, 2, 6)
    )
    assert one
    assert not many


def test_the_first_case_says_by_which_mode() -> None:
    cases = [CaseVerdict(name, (), (), notes=("seen",)) for name in ("photographs", "noise")]
    first, second = with_mode(cases, MODES["bfloat16"])
    assert first.notes == ("the runtime chose bfloat16, by which it is judged", "seen")
    assert second == cases[1]

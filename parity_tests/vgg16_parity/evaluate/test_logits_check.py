"""A runtime's logits are judged even if no answer changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnx_arbiter.limits import LIMITS
from parity_tests.support.evaluation.close_classes import DATASET, close, measured, right, verdict
from vgg16_parity.evaluate import logits_check
from vgg16_parity.evaluate.assembly import assemble
from vgg16_parity.evaluate.report.table import holds
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.registry import KNOWN, RUNTIMES
from vgg16_spec.checkpoint import Checkpoint


def test_logits_that_the_layers_explain_hold(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = close(tiny, 1.0)
    logits = right(checkpoint)
    both = {"right": logits, "other": logits + np.float32(0.01)}
    of_both = measured(tmp_path, both, {})
    for error, passed in ((0.02, True), (0.001, False)):
        monkeypatch.setattr(logits_check, "judge_alone", lambda *_, e=error: [verdict(error=e)] * 2)
        checks = logits_check.check_logits(checkpoint, of_both)
        assert (checks["right"].passed, checks["other"].passed) == (True, passed)


@pytest.mark.slow
def test_winograds_algorithm_is_no_mistake(tiny: Checkpoint, tmp_path: Path) -> None:
    """Engines that many use compute 3×3 convolutions by it; as direct sums they would fail."""
    runtimes = [KNOWN[name] for name in ("opencv-winograd", "ncnn")]
    if any(reason := each.missing() for each in runtimes):
        pytest.skip(reason)
    computed = evaluate(DATASET, tiny, runtimes, tmp_path / "run")
    assert [entry.status for entry in computed.runtimes] == ["measured"] * 2
    checks = logits_check.check_logits(tiny, computed)
    assert {name: check.passed for name, check in checks.items()} == {
        "opencv-winograd": True, "ncnn": True
    }  # fmt: skip
    assert any(check.ratio > LIMITS.ratio.limit for check in checks.values())


def test_a_wrong_runtime_with_every_answer_right_does_not_hold(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = close(tiny, 1.0)
    logits = right(checkpoint)
    monkeypatch.setattr(logits_check, "judge_alone", lambda *_: [verdict("fc1")] * 2)
    for shift, passed in ((0.0, True), (0.01, False)):
        both = {"right": logits, "other": logits + np.float32(shift)}
        folder = tmp_path / str(passed)
        folder.mkdir()
        of_both = measured(folder, both, {"other": RUNTIMES["torch"]})
        evaluation, _ = assemble(DATASET, checkpoint, of_both)
        assert evaluation.disputes == ()
        first, second = evaluation.runtimes
        assert first.logits is not None
        assert second.logits is not None
        assert (first.logits.passed, second.logits.passed) == (True, passed)
        assert second.logits.images == 2
        assert holds(evaluation) is passed

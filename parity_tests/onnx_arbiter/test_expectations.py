"""A case's files hold everything that the arbiter expects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnx_arbiter import expectations
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES

CASE = Case("noise", np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2), ("one",))


def prediction(tap: str, scale: float, *, relu: bool) -> Prediction:
    values = scale * np.array([[-1.0, 0.25, 1 + 2.0**-40]])
    deviations = {
        name: np.full((1, 3), mode.sums + mode.stored, np.float32) for name, mode in MODES.items()
    }
    halves = {name: deviation * np.float32(0.5) for name, deviation in deviations.items()}
    return Prediction(tap, values, relu, deviations, halves)


PREDICTIONS = (prediction("hidden", 1.0, relu=True), prediction("logits", 7e4, relu=False))


@pytest.mark.parametrize("only", ["", "logits"])
def test_what_is_written_is_read_back(tmp_path: Path, only: str) -> None:
    written = write_case(CASE, PREDICTIONS, tmp_path / "case", only=only)
    kept = [each for each in PREDICTIONS if only in ("", each.tap)]
    assert written.relus == {each.tap: each.relu for each in kept}
    assert written.last == "logits"
    assert np.array_equal(expectations.images(written.folder), CASE.images)
    for each in kept:
        for name, mode in MODES.items():
            tap = written.tap(each.tap, mode)
            assert np.array_equal(tap.preactivation, each.preactivation)
            assert tap.preactivation.dtype == np.float64
            assert tap.relu is each.relu
            assert np.array_equal(tap.accumulated, each.accumulated[name])
            assert np.array_equal(tap.local, each.local[name])
    # The next layer's input is in float32, after the ReLU.
    if not only:
        found = expectations.given(written.folder, ["hidden", "logits"])
        assert found["hidden"].tolist() == [[0, 0.25, 1]]
        assert found["logits"].dtype == np.float32
    assert any(written.folder.glob("*.given.npy")) is not bool(only)


def test_a_tap_that_overflows_is_named_even_if_it_is_not_kept(tmp_path: Path) -> None:
    first, last = PREDICTIONS
    case = write_case(CASE, (replace(last, tap="wide"), first), tmp_path / "case", only="hidden")
    assert case.beyond(MODES["float16"]) == "the arbiter's wide reaches 7e+04, beyond float16"
    assert case.beyond(MODES["float32"]) == ""


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_case_with_a_value_that_is_not_finite_is_not_finite(value: float, tmp_path: Path) -> None:
    images = CASE.images.copy()
    assert CASE.finite
    images[0, 2, 1, 1] = value
    assert not ArbiterCase(replace(CASE, images=images), tmp_path, {}, {}).case.finite

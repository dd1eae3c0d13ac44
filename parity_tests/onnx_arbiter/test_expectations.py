"""A case's files hold everything that the arbiter expects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter import expectations
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.tolerances import COUNTED

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


def test_a_value_that_just_fits_a_mode_is_not_beyond_it(tmp_path: Path) -> None:
    deviation = {"float32": np.ones((1, 2), np.float32)}
    for name, largest in (("fits", 65504.0), ("beyond", 65505.0)):
        # The largest magnitude, of either sign.
        tap = Prediction(name, np.array([[1.0, -largest]]), True, deviation, deviation)
        case = write_case(CASE, [tap], tmp_path / name)
        assert bool(case.beyond(MODES["float16"])) is (name == "beyond")
    assert write_case(CASE, (), tmp_path / "nothing").reached == {}


def test_what_a_layer_alone_is_given_may_be_something_else(tmp_path: Path) -> None:
    given = np.array([[5.0, 6.0, 7.0]], np.float32)
    case = write_case(CASE, [replace(PREDICTIONS[0], given=given)], tmp_path / "case")
    (found,) = expectations.given(case.folder, ["hidden"]).values()
    assert np.array_equal(found, given)
    assert not found.flags.writeable
    # A runtime may write into what it is given; nobody else reads that.
    (own,) = expectations.given(case.folder, ["hidden"], writable=True).values()
    own[:] = 0
    (again,) = expectations.given(case.folder, ["hidden"], writable=True).values()
    assert np.array_equal(again, given)


# Tap -> the values of two images, whether a ReLU follows, and how many errors of each image are
# independent: all of equal size, but for those that the ReLU hides.
COUNTED_TAPS: Final = (
    ("first", [[1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6]], False, (1, 6)),
    ("second", [[1, 2, 3, 4, 4, 4], [1, 1, 1, 2, 2, 2]], False, (3, 2)),
    ("third", [[1, 2, 3, -4, -5, -6], [1, 2, -0.5, -7, -8, -9]], True, (3, 3)),
    ("logits", [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]], False, (6, 6)),
)


def counted_taps(scale: float = 1.0) -> Iterator[Prediction]:
    for name, values, relu, _ in COUNTED_TAPS:
        deviation = {"float32": np.full((2, 6), scale, np.float32)}
        scaled = scale * np.array(values, np.float64)
        yield Prediction(name, scaled, relu, deviation, deviation)


def close(value: float) -> Any:
    return pytest.approx(value, rel=COUNTED.limit)


# float32 holds no square of the smaller.
@pytest.mark.parametrize("scale", [1.0, 1e-25])
def test_independent_errors_are_counted_image_by_image(tmp_path: Path, scale: float) -> None:
    case = write_case(CASE, counted_taps(scale), tmp_path / "case")
    mode, smallest = MODES["float32"], [math.inf, math.inf]
    for tap, (name, *_, counts) in zip(counted_taps(scale), COUNTED_TAPS, strict=True):
        assert tap.independent() == {"float32": tuple(map(close, counts))}
        for image, count in enumerate(counts):
            assert case.independent_before(name, mode, image) == close(smallest[image])
            assert case.independent_at(name, mode, image) == close(count)
            smallest[image] = min(smallest[image], count)


def test_taps_that_are_not_kept_are_counted_too(tmp_path: Path) -> None:
    case = write_case(CASE, counted_taps(), tmp_path / "case", only="logits")
    assert case.passed == {"float32": (close(1), close(2))}
    for image, fewest in enumerate((1, 2)):
        assert case.independent_before("logits", MODES["float32"], image) == close(fewest)


def test_the_roundings_of_a_layers_input_are_counted_where_it_runs_alone(tmp_path: Path) -> None:
    case = write_case(CASE, counted_taps(), tmp_path / "case")
    # The network's own input is not rounded.
    assert case.independent_inputs("first", 0) == math.inf
    assert case.independent_inputs("second", 0) == close(1)
    # By the squares of what a ReLU lets through: 1 and 4, of (1, 2, 0, 0, 0, 0).
    assert case.independent_inputs("logits", 1) == close((1 + 4) ** 2 / (1 + 16))
    assert case.has(MODES["float32"])
    assert not case.has(MODES["tf32"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_case_with_a_value_that_is_not_finite_is_not_finite(value: float, tmp_path: Path) -> None:
    images = CASE.images.copy()
    assert CASE.finite
    images[0, 2, 1, 1] = value
    assert not ArbiterCase(replace(CASE, images=images), tmp_path, {}, {}).case.finite

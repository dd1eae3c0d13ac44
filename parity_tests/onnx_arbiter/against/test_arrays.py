"""Quantised tensors and values of another graph, compared as arrays alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.against.matching import Moments, Shelf, arrangements, moments_of
from onnx_arbiter.against.quantisation import clipped_share, is_quantised, with_quantisation
from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Graph
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, MODES
from onnx_arbiter.values import Value
from parity_tests.support.operator_tolerances import FLOAT32_VARIANCES
from parity_tests.support.operators import FLOAT32, evaluated, node_of

Array = Any

X: Final = np.array([[-1.0, 0.2, 0.7], [1.9, -0.4, 12.8]], np.float32)
ZERO: Final = np.array(8, np.uint8)


def quantised(x: Array, scale: Any, zero: Array | None = ZERO, **attributes: Any) -> Step:
    inputs = [x, np.asarray(scale, np.float32), *([] if zero is None else [zero])]
    return evaluated(node_of("QuantizeLinear", inputs, **attributes), inputs)


def test_what_lies_beyond_the_range_is_clipped() -> None:
    # Steps of 0.05 from -0.4 to 12.35: one value below it, one above.
    assert clipped_share(quantised(X, 0.05)) == 2 / 6
    # Half a step is rounded, and no more.
    ends = np.array([-0.4 - 0.024, 12.35 + 0.024, -0.4 - 0.026, 12.35 + 0.026], np.float32)
    assert clipped_share(quantised(ends, 0.05)) == 2 / 4
    # A range that begins at 0 is a ReLU.
    relu = np.zeros((), np.uint8)
    assert clipped_share(quantised(X, 0.05, relu)) == 1 / 6
    assert clipped_share(quantised(X, 0.05, None)) == 1 / 6


def test_each_channel_has_its_own_range() -> None:
    zeros = np.array([8, 8, 8], np.uint8)
    step = quantised(X, [1.0, 1.0, 0.05], zeros, axis=1)
    assert clipped_share(step) == 1 / 6
    rows = quantised(X, [0.1, 0.05], zeros[:2], axis=0)
    assert clipped_share(rows) == 2 / 6


def test_other_nodes_and_blocks_clip_nothing() -> None:
    assert clipped_share(evaluated(node_of("Relu", [X]), [X])) == 0
    wide = np.full((2, 4), 99, np.float32)
    blocks = np.full((2, 2), 0.1, np.float32)
    step = quantised(wide, blocks, np.zeros((2, 2), np.uint8), axis=1, block_size=2)
    assert clipped_share(step) == 0
    assert clipped_share(replace(quantised(X, 0.05), outputs={})) == 0


def dequantised(scale: Any, **attributes: Any) -> Step:
    values = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    inputs: list[Array] = [values, np.asarray(scale, np.float32)]
    return evaluated(node_of("DequantizeLinear", inputs, **attributes), inputs)


@pytest.mark.parametrize(
    ("scale", "steps"),
    [
        (0.5, np.full((2, 3), 0.5)),
        ([0.5], np.full((2, 3), 0.5)),
        ([0.5, 1.0, 2.0], np.tile([0.5, 1.0, 2.0], (2, 1))),
    ],
)
def test_a_quantised_value_is_off_by_a_twelfth_of_its_step_squared(
    scale: Any, steps: Array
) -> None:
    step = dequantised(scale)
    before = step.outputs["y0"].accumulated["float32"]
    after = with_quantisation(step, FLOAT32).outputs["y0"].deviation(FLOAT32)
    assert before is not None
    own = before * FLOAT32_ROUNDOFF**2 / 3
    expected = np.sqrt(np.square(steps) / 12 + own)
    np.testing.assert_allclose(after, expected, rtol=FLOAT32_VARIANCES.limit)


def test_an_error_passes_a_quantisation_in_its_steps() -> None:
    step = quantised(X, 0.5)
    read = replace(step.inputs[0] or Value(X, X.dtype), accumulated={"float32": np.ones_like(X)})
    given = replace(step, inputs=(read, *step.inputs[1:]))
    found = with_quantisation(given, FLOAT32).outputs["y0"].accumulated["float32"]
    assert found is not None
    assert found.tolist() == [[4.0] * 3] * 2
    assert with_quantisation(step, FLOAT32).outputs["y0"].accumulated["float32"] is None
    relu = evaluated(node_of("Relu", [X]), [X])
    assert with_quantisation(relu, FLOAT32) is relu


def test_a_graph_is_quantised_that_dequantises() -> None:
    nodes = [node_of(name, [X, X]) for name in ("QuantizeLinear", "DequantizeLinear")]
    assert [is_quantised(Graph((node,), {}, ())) for node in nodes] == [False, True]


VALUES: Final = np.random.default_rng(0).standard_normal((2, 3, 4))


def value(values: Array = VALUES, deviation: float = 1e-6) -> Value:
    variance = np.full(values.shape, 3 * (deviation / FLOAT32_ROUNDOFF) ** 2, np.float32)
    return Value(values, np.dtype(np.float32), accumulated={"float32": variance})


def test_moments_are_the_mean_the_rms_and_that_of_the_errors() -> None:
    found = moments_of(value(np.array([[3.0, -1.0]]), 1e-3), FLOAT32)
    assert found is not None
    assert (found.mean, found.rms) == (1.0, 5**0.5)
    assert found.error == pytest.approx(1e-3, rel=FLOAT32_VARIANCES.limit)
    for values in (np.array([1, 2]), np.zeros((0, 2)), np.array([np.inf, 1.0])):
        assert moments_of(Value(values, values.dtype), FLOAT32) is None


@pytest.mark.parametrize(
    ("mean", "rms", "may"),
    [
        (1.0, 2.0, True), (1.029, 2.0, True), (1.0, 2.029, True), (0.971, 1.971, True),
        (1.031, 2.0, False), (1.0, 2.031, False), (0.969, 2.0, False), (1.0, 1.969, False),
    ],
)  # fmt: skip
def test_values_may_agree_within_six_of_their_errors(mean: float, rms: float, may: bool) -> None:
    # Errors of 3e-3 and 4e-3 are 5e-3 together.
    one, other = Moments(1.0, 2.0, 3e-3), Moments(mean, rms, 4e-3)
    assert one.may_agree(other) is other.may_agree(one) is may


@pytest.mark.parametrize(
    ("have", "want", "ways"),
    [
        ((2, 3), (2, 3), 1),
        ((2, 3), (3, 2), 2),
        ((2, 3), (6,), 1),
        ((2, 3), (5,), 0),
        ((2, 2, 3), (3, 2, 2), 1 + 2),
        ((1, 2, 3, 4, 5), (5, 4, 3, 2, 1), 1),  # too many axes to try
    ],
)
def test_elements_may_be_moved_into_another_shape(
    have: tuple[int, ...], want: tuple[int, ...], ways: int
) -> None:
    values = np.arange(np.prod(have)).reshape(have)
    found = [arrange(values) for arrange in arrangements(have, want)]
    assert [each.shape for each in found] == [want] * ways
    if ways and have != want:
        np.testing.assert_array_equal(found[0], values.reshape(want))
    assert len({each.tobytes() for each in found}) == ways


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path, MODES["float32"], LIMITS)
    made.add("first", "Conv", value(VALUES + 5))
    made.add("second", "Relu", value())
    made.add("few", "Relu", value(VALUES[0, 0, :3]))
    made.add("alike", "Relu", value(np.ones((2, 3, 4))))
    return made


def test_a_value_is_recognised_in_any_order_of_its_axes(shelf: Shelf) -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        found = shelf.search(value(VALUES.transpose(order) + 1e-6))
        assert found is not None
        assert (found.name, found.operator) == ("second", "Relu")
        assert shelf.verdict(found, value(VALUES.transpose(order))).passed
    assert shelf.search(value(VALUES + 1e-3)) is None
    assert shelf.search(value(VALUES[:1])) is None


def test_values_that_tell_nothing_are_not_recognised(shelf: Shelf) -> None:
    assert shelf.search(value(VALUES[0, 0, :3])) is None
    assert shelf.search(value(np.ones((2, 3, 4)))) is None
    eight = value(np.arange(8.0))
    shelf.add("eight", "Relu", eight)
    found = shelf.search(eight)
    assert found is not None
    assert found.name == "eight"


def test_values_are_kept_in_files_by_name(shelf: Shelf, tmp_path: Path) -> None:
    stored = shelf.get("second")
    assert stored is not None
    assert isinstance(stored.value.values, np.memmap)
    assert isinstance(stored.value.accumulated["float32"], np.memmap)
    assert np.array_equal(shelf.arrays()["second"], VALUES)
    assert list(shelf.arrays()) == ["first", "second", "few", "alike"]
    assert shelf.get("third") is None
    assert sorted(path.name for path in tmp_path.iterdir())[:2] == ["0.npy", "0.variance.npy"]


def test_the_best_of_several_wrong_arrangements_is_said(shelf: Shelf) -> None:
    stored = shelf.get("second")
    assert stored is not None
    off = value(VALUES.transpose(2, 1, 0) + 0.01)
    verdict = shelf.verdict(stored, off)
    assert not verdict.passed
    assert verdict.max_error == pytest.approx(0.01)
    assert shelf.verdict(stored, value(VALUES[:1])).reason == (
        "its shape is (1, 3, 4), the arbiter's is (2, 3, 4)"
    )

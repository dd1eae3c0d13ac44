"""Where resized elements lie, by the formulas of ONNX, and how far float32 may be from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.operators.interpolation.coordinates import Axis
from onnx_arbiter.operators.operation import Unsupported
from parity_tests.support.operator_tolerances import FLOAT32_VARIANCES

SIZE, WANTED, SCALE = 5, 7, 1.4
FORMULAS: Final[dict[str, Callable[[Any], Any]]] = {
    "asymmetric": lambda x: x / SCALE,
    "half_pixel": lambda x: (x + 0.5) / SCALE - 0.5,
    "pytorch_half_pixel": lambda x: (x + 0.5) / SCALE - 0.5,
    "align_corners": lambda x: x * (SIZE - 1) / (WANTED - 1),
    "tf_half_pixel_for_nn": lambda x: (x + 0.5) / SCALE,
    "half_pixel_symmetric": (
        lambda x: SIZE / 2 * (1 - WANTED / (SCALE * SIZE)) + (x + 0.5) / SCALE - 0.5
    ),
}


@pytest.mark.parametrize("transform", FORMULAS)
def test_coordinates_are_those_of_the_formula(transform: str) -> None:
    axis = Axis(transform, SIZE, WANTED, SCALE)
    places = np.arange(float(WANTED))
    np.testing.assert_allclose(
        axis.coordinates, FORMULAS[transform](places), rtol=FLOAT32_VARIANCES.limit
    )
    assert axis.coordinates.dtype == np.float64


def test_a_symmetric_half_pixel_leaves_as_much_out_at_either_end() -> None:
    axis = Axis("half_pixel_symmetric", 4, 5, 1.4)  # 5.6 would be wanted
    np.testing.assert_allclose(
        axis.coordinates + axis.coordinates[::-1], np.full(5, 3.0), rtol=FLOAT32_VARIANCES.limit
    )


@pytest.mark.parametrize("transform", ["pytorch_half_pixel", "align_corners"])
def test_a_single_element_is_the_first(transform: str) -> None:
    assert Axis(transform, 5, 1, 0.2).coordinates.tolist() == [0.0]
    assert Axis("half_pixel", 5, 1, 0.2).coordinates.tolist() == [2.0]


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(Unsupported, match="finds coordinates in a mode 'elsewhere'"):
        _ = Axis("elsewhere", 5, 7, 1.4).coordinates
    with pytest.raises(Unsupported, match="rounds coordinates in a mode 'somehow'"):
        Axis("asymmetric", 5, 7, 1.4).nearest("somehow")


@pytest.mark.parametrize(
    ("transform", "size", "wanted", "scale", "exact"),
    [
        ("half_pixel", 4, 8, 2.0, True),
        ("half_pixel", 4, 2, 0.5, True),
        ("half_pixel", 4, 12, 3.0, False),
        ("half_pixel", 5, 7, 1.4, False),
        ("align_corners", 3, 5, 1.7, True),
        ("align_corners", 3, 6, 2.0, False),
        ("align_corners", 5, 1, 0.2, True),
        ("align_corners", 1, 5, 5.0, True),
    ],
)
def test_a_power_of_two_is_exact(
    transform: str, size: int, wanted: int, scale: float, exact: bool
) -> None:
    axis = Axis(transform, size, wanted, scale)
    assert axis.is_exact is exact
    assert bool(axis.shifts.any()) is not exact


@pytest.mark.parametrize("transform", FORMULAS)
def test_each_rounding_of_a_coordinate_counts(transform: str) -> None:
    axis = Axis(transform, SIZE, WANTED, SCALE)
    found = axis.coordinates
    if "half_pixel" in transform:
        expected = 2 * np.square(found + 0.5) + np.square(found)
    else:
        expected = 2 * np.square(found)
    if transform == "half_pixel_symmetric":
        expected = expected + SIZE**2 / 2
    assert axis.shifts.dtype == np.float32
    np.testing.assert_allclose(axis.shifts, expected, rtol=FLOAT32_VARIANCES.limit)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # 0.5, 1.5, 2.5, 3.5 lie halfway, the last beyond the map.
        ("round_prefer_floor", [0, 0, 1, 1, 2, 2, 2, 2]),
        ("round_prefer_ceil", [0, 1, 1, 2, 2, 2, 2, 2]),
        ("floor", [0, 0, 1, 1, 2, 2, 2, 2]),
        ("ceil", [0, 1, 1, 2, 2, 2, 2, 2]),
    ],
)
def test_the_nearest_element_is_that_of_the_mode(mode: str, expected: list[int]) -> None:
    axis = Axis("asymmetric", 3, 8, 2.0)
    assert axis.nearest(mode).tolist() == expected
    assert axis.nearest(mode).dtype == np.int64


def test_elements_before_the_first_are_the_first() -> None:
    assert Axis("half_pixel", 3, 6, 2.0).nearest("floor").tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("transform", ["asymmetric", "half_pixel_symmetric"])
def test_an_element_that_float32_may_find_elsewhere_is_refused(transform: str) -> None:
    # 30 / 0.3 is 100, or a little more or less.
    axis = Axis(transform, 200, 60, 0.3)
    with pytest.raises(Unsupported, match="rounding of coordinates decides"):
        axis.nearest("floor" if transform == "asymmetric" else "round_prefer_floor")
    assert Axis("asymmetric", 200, 60, 0.25).nearest("floor")[30] == 120


def test_what_is_left_out_at_an_end_moves_no_element_that_is_far_from_a_boundary() -> None:
    # At -1/7, 4/7, 9/7, 2, 19/7, 24/7 and 29/7.
    axis = Axis("half_pixel_symmetric", SIZE, WANTED, SCALE)
    assert axis.nearest("round_prefer_floor").tolist() == [0, 1, 1, 2, 3, 3, 4]
    assert axis.nearest("round_prefer_ceil").tolist() == [0, 1, 1, 2, 3, 3, 4]
    with pytest.raises(Unsupported, match="rounding of coordinates decides"):
        axis.nearest("ceil")

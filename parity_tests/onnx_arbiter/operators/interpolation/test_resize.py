"""Resize: places and weights against ONNX Runtime in every mode, and the size of errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from onnx_arbiter.operators.interpolation.resize import _polynomials, resize
from onnx_arbiter.operators.operation import UNIT, Unsupported
from parity_tests.support.moves import assert_moves
from parity_tests.support.operator_tolerances import CARRIED, INTERPOLATED, JACOBIAN
from parity_tests.support.operators import (
    FLOAT32,
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
    run_alone,
)

TRANSFORMS = (
    "half_pixel",
    "asymmetric",
    "align_corners",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
MAP = np.random.default_rng(0).permutation(np.arange(1, 127, dtype=np.float32)).reshape(2, 1, 7, 9)
SCALES = np.array([1, 1, 2, 0.625], np.float32)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("transform", TRANSFORMS[:-1])
def test_nearest_elements_are_those_of_the_runtime(transform: str, rounding: str) -> None:
    attributes: dict[str, Any] = {
        "coordinate_transformation_mode": transform,
        "nearest_mode": rounding,
    }
    sizes = np.array([2, 1, 14, 16], np.int64)
    for inputs in ([MAP, None, SCALES], [MAP, None, None, sizes]):
        assert_moves(node_of("Resize", inputs, **attributes), inputs, still=(2,))


OLD: dict[str, tuple[str, list[Array | None], dict[str, Any], int]] = {
    "Resize 10": ("Resize", [MAP, np.array([1, 1, 2, 1.5], np.float32)], {}, 10),
    "Upsample 9": ("Upsample", [MAP, np.array([1, 1, 3, 2], np.float32)], {}, 9),
    "Upsample 7": ("Upsample", [MAP], {"scales": (1.0, 1.0, 2.0, 1.5)}, 7),
}


@pytest.mark.parametrize("name", OLD)
def test_old_forms_take_the_elements_before(name: str) -> None:
    operator, inputs, attributes, version = OLD[name]
    node = node_of(operator, inputs, version=version, **attributes)
    assert_moves(node, inputs, still=(1,))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_weights_are_those_of_the_runtime(mode: str) -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        attributes: dict[str, Any] = {
            "mode": mode,
            "coordinate_transformation_mode": str(rng.choice(TRANSFORMS)),
        }
        if mode == "cubic":
            attributes["exclude_outside"] = int(rng.integers(2))
            attributes["cubic_coeff_a"] = float(rng.choice([-0.5, -0.75]))
        maps = rng.standard_normal((2, 3, *rng.integers(2, 9, 2)), np.float32)
        sizes = np.array([2, 3, *rng.integers(1, 17, 2)], np.int64)
        scales = np.array([1, 1, *rng.choice([0.5, 0.6, 1, 1.5, 2, 2.3], 2)], np.float32)
        inputs = [maps, None, scales] if rng.random() < 0.5 else [maps, None, None, sizes]
        node = node_of("Resize", inputs, **attributes)
        step = evaluated(node, inputs)
        [expected] = run_alone(node, step, inputs)
        found = step.outputs["y0"].values
        assert found.shape == expected.shape, attributes
        assert np.abs(found - expected).max() <= INTERPOLATED.limit, (attributes, inputs[2:])


LINEAR: dict[str, tuple[str, int]] = {"Resize": ("Resize", 10), "Upsample": ("Upsample", 9)}


@pytest.mark.parametrize("name", LINEAR)
def test_old_forms_interpolate_from_the_first_element_on(name: str) -> None:
    operator, version = LINEAR[name]
    inputs: list[Array | None] = [MAP / np.float32(126), np.array([1, 1, 2, 1.5], np.float32)]
    node = node_of(operator, inputs, version=version, mode="linear")
    step = evaluated(node, inputs)
    [expected] = run_alone(node, step, inputs)
    found = step.outputs["y0"].values
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= INTERPOLATED.limit


POLICIES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "not_larger": ({"keep_aspect_ratio_policy": "not_larger", "axes": (2, 3)}, (20, 15)),
    "not_smaller": ({"keep_aspect_ratio_policy": "not_smaller", "axes": (2, 3)}, (20, 15)),
    "some axes": ({"axes": (3, 2)}, (15, 20)),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_sizes_are_those_of_the_runtime(policy: str) -> None:
    attributes, sizes = POLICIES[policy]
    inputs = [MAP, None, None, np.array(sizes, np.int64)]
    node = node_of("Resize", inputs, mode="linear", **attributes)
    step = evaluated(node, inputs)
    [expected] = run_alone(node, step, inputs)
    assert step.outputs["y0"].values.shape == expected.shape
    largest = float(np.abs(MAP).max())
    error = np.abs(step.outputs["y0"].values - expected).max()
    assert error <= INTERPOLATED.limit * largest


def resized(sizes: tuple[int, int], wanted: tuple[int, int]) -> Draw:
    """Normal maps of some sizes, and the sizes to resize them to."""
    return lambda rng: [
        rng.standard_normal((2, 3, *sizes), np.float32),
        None,
        None,
        np.array([2, 3, *wanted], np.int64),
    ]


@pytest.mark.parametrize("transform", ["half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scaled", ["twice", "by a fraction", "a large map"])
def test_errors_have_the_predicted_size(mode: str, transform: str, scaled: str) -> None:
    draw, draws = {
        "twice": (resized((8, 9), (16, 18)), 50),
        "by a fraction": (resized((9, 12), (14, 31)), 30),
        "a large map": (resized((40, 50), (77, 31)), 10),
    }[scaled]
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": transform}
    node = node_of("Resize", draw(np.random.default_rng(0)), **attributes)
    assert_predicted(measure(node, draw, draws=draws))


def test_a_place_on_an_element_errs_by_the_steeper_side() -> None:
    """The fourth of six places is at 3 / 1.5 = 2, with a slope of -4 before and of 0 after."""
    inputs: list[Array | None] = [
        np.array([[1, 5, 1, 1]], np.float32),
        None,
        None,
        np.array([1, 6], np.int64),
    ]
    transform = "asymmetric"
    node = node_of("Resize", inputs, mode="linear", coordinate_transformation_mode=transform)
    deviation = evaluated(node, inputs).local_deviation("y0", FLOAT32)
    assert deviation[0, 3] >= 4 * 2 * 2**0.5 * UNIT  # two roundings of 2


REFUSED: dict[str, tuple[list[Array | None], dict[str, Any], int]] = {
    "crops": ([MAP, None, SCALES], {"coordinate_transformation_mode": "tf_crop_and_resize"}, 21),
    "smooths": ([MAP, None, SCALES], {"mode": "linear", "antialias": 1}, 21),
    "before version 11": ([MAP, SCALES], {}, 10),
    # x / 7 is whole for every seventh x, but not x times the float32 number next to 1 / 7.
    "decides": (
        [MAP, None, None, np.array([2, 1, 49, 9], np.int64)],
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"},
        21,
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_predicted_is_refused(reason: str) -> None:
    inputs, attributes, version = REFUSED[reason]
    with pytest.raises(Unsupported, match=reason):
        resize(node_of("Resize", inputs, version=version, **attributes), inputs)


def horner(d: float, a: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A weight of a cubic at a distance, every result rounded within the roundoff, 20,000 times."""

    def r(values: Any) -> Any:
        return values * (1 + rng.uniform(-FLOAT32_ROUNDOFF, FLOAT32_ROUNDOFF, 20_000))

    if d <= 1:
        return np.asarray(r(r(r(r(r((a + 2) * d) - (a + 3)) * d) * d) + 1))
    return np.asarray(r(r(r(r(r(r(a * d) - 5 * a) * d) + 8 * a) * d) - 4 * a))


@pytest.mark.parametrize("a", [-0.5, -0.75])
@pytest.mark.parametrize("d", [0.1, 0.45, 0.9, 1.0, 1.2, 1.7, 1.95])
def test_a_cubics_weight_is_rounded_at_every_step(d: float, a: float) -> None:
    [[weight], [slope], [variance]] = _polynomials(np.array([d]), a)
    errors = horner(d, a, np.random.default_rng(0)) - weight
    observed = np.sqrt(np.square(errors).mean()) / UNIT
    assert abs(observed / np.sqrt(variance) - 1) <= CARRIED.limit
    for side in (d, -d):
        beside, _, _ = _polynomials(np.array([side - 1e-6, side + 1e-6]), a)
        [own] = _polynomials(np.array([side]), a)[1]
        assert abs((beside[1] - beside[0]) / 2e-6 - own) <= JACOBIAN.limit
        assert own == np.sign(side) * slope

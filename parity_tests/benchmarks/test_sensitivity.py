"""The sensitivities are the judge's: it sees mistakes from the stated size on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.mistakes import sensitivity
from benchmarks.mistakes.sensitivity import LIMIT_PAIRS, Sensitivity
from onnx_arbiter.compare import compare_with_arbiter
from onnx_arbiter.limits import Limits, Tolerance
from vgg16_parity.network import reference
from vgg16_parity.network.prediction import predict
from vgg16_spec.architecture import WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

# No unit of fc1 that is lit has its largest weight.
MISTAKES = [
    (name, mistake)
    for name in ("block2_conv1", "block5_conv3", "fc1")
    for mistake in ("largest", "scale")
    if (name, mistake) != ("fc1", "largest")
]


@pytest.fixture(scope="module")
def image(tiny: Checkpoint) -> NDArray[np.float32]:
    shape = (1, *tiny.configuration.input_shape)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.fixture(scope="module")
def found(tiny: Checkpoint, image: NDArray[np.float32]) -> dict[str, Sensitivity]:
    return {each.layer: each for each in sensitivity.measure(tiny, image)}


def test_every_weighted_layer_has_its_line(tiny: Checkpoint, found: dict[str, Sensitivity]) -> None:
    names = [layer.name for layer in tiny.configuration.weighted_layers]
    assert list(found) == names
    assert len(sensitivity.described(found).splitlines()) == len(names) + 2


@pytest.mark.parametrize("pair", LIMIT_PAIRS)
@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_the_judge_sees_a_little_more_and_not_a_little_less(
    name: str,
    mistake: str,
    pair: tuple[float, float],
    tiny: Checkpoint,
    image: NDArray[np.float32],
    found: dict[str, Sensitivity],
) -> None:
    layers = {layer.name: layer for layer in tiny.configuration.layers}
    weighted = layers[name]
    assert isinstance(weighted, WeightedLayer)
    taps = {tap.tap: tap for tap in predict(tiny, image)}
    order = [tap for tap in taps if tap in layers]
    inputs = taps[order[order.index(name) - 1]].values
    if name == "fc1":
        inputs = reference.flatten(inputs)
    expected, weight = taps[name], tiny[f"{name}.weight"].astype(np.float64)
    change = weight if mistake == "scale" else np.zeros_like(weight)
    place = np.unravel_index(np.abs(weight).argmax(), weight.shape)
    change[place] = weight[place]
    moved = reference.multiply(weighted, change, inputs)  # type: ignore[arg-type]
    smallest = getattr(found[name], mistake).shown_from(*pair)
    ratio, deviations = (Tolerance(limit, "a pair of limits") for limit in pair)
    limits = Limits(ratio, deviations)
    for factor in (0.98, 1.02):
        observed = np.maximum(expected.preactivation + factor * smallest * moved, 0)
        deviation = expected.local["float32"]
        verdict = compare_with_arbiter(
            observed, expected.preactivation, deviation, relu=True, limits=limits
        )
        assert verdict.passed is (factor < 1)


def test_what_no_size_of_shows_is_infinite(found: dict[str, Sensitivity]) -> None:
    assert found["fc1"].largest.shown_from(*LIMIT_PAIRS[1]) == np.inf


def test_bits_are_kept_as_rounding_keeps_them() -> None:
    values = np.array([1 + 2**-11, -(1 + 2**-11), 1 + 2**-12 - 2**-20, 0, 3], np.float32)
    expected = np.array([1 + 2**-11, -(1 + 2**-11), 1, 0, 3], np.float32)
    np.testing.assert_array_equal(sensitivity.round_to_bits(values, 12), expected)
    assert (values == sensitivity.round_to_bits(values, 24)).all()

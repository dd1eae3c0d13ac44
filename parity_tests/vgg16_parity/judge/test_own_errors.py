"""A layer's own errors are those that its ReLU lets show, beside what it is predicted."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.judge.own_errors import errors_of
from vgg16_parity.network.reference import layer_alone, multiply
from vgg16_spec.checkpoint import Checkpoint

FLOAT32 = MODES["float32"]


@pytest.mark.parametrize(("name", "relu"), [("block1_conv1", True), ("predictions", False)])
def test_an_error_counts_where_no_relu_hides_it(tiny: Checkpoint, name: str, relu: bool) -> None:
    (layer,) = (each for each in tiny.configuration.weighted_layers if each.name == name)
    shape = (2, 3, 8, 8) if relu else (2, tiny[f"{name}.weight"].shape[1])
    inputs = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    exact = layer_alone(tiny, layer, inputs).preactivation
    # An error of its own at each element, as large as the values.
    added = np.random.default_rng(1).standard_normal(exact.shape) * exact.std()
    computed = exact + added
    found = errors_of(tiny, FLOAT32, layer, inputs, np.maximum(computed, 0) if relu else computed)
    assert found is not None
    shows = (exact > 0) & (computed > 0) if relu else np.ones(exact.shape, bool)
    assert 0 < np.count_nonzero(shows) < shows.size or not relu
    assert np.array_equal(np.isfinite(found.values), shows)
    assert np.array_equal(found.values[shows], (computed - exact)[shows])
    assert np.array_equal(found.ends, exact**2)
    assert errors_of(tiny, FLOAT32, layer, inputs, computed[:1]) is None


def test_an_error_of_the_input_is_added_to_what_is_predicted(tiny: Checkpoint) -> None:
    layer = tiny.configuration.weighted_layers[0]
    inputs = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    observed = layer_alone(tiny, layer, inputs).preactivation
    deviation = np.random.default_rng(1).uniform(1e-3, 2e-3, inputs.shape)
    plain = errors_of(tiny, FLOAT32, layer, inputs, observed)
    found = errors_of(tiny, FLOAT32, layer, inputs, observed, deviation)
    assert plain is not None
    assert found is not None
    assert np.array_equal(plain.carried, 0.0)
    weight = tiny[f"{layer.name}.weight"]
    assert np.array_equal(found.carried, multiply(layer, weight, deviation**2, squared=True))
    assert np.array_equal(found.deviation, np.sqrt(plain.deviation**2 + found.carried))
    assert (found.deviation > 10 * plain.deviation).all()

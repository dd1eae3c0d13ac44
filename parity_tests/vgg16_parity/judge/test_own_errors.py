"""A layer's own errors are those that its ReLU lets show, beside what it is predicted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.patterns import fit
from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES, Mode
from parity_tests.support.arithmetic.right_gradients import NETWORK
from parity_tests.support.tolerances import FLOAT64
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.own_errors import LayerErrors, errors_of, given_to, own_errors, read_by
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.network.prediction import expect
from vgg16_parity.network.reference import layer_alone, multiply
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

FLOAT32 = MODES["float32"]
# Its sums and float32's do not round alike.
COARSE = Mode("coarse", sums=2.0**-13)


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
    assert np.array_equal(found.exact, exact)
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


def test_an_algorithm_adds_the_rounding_of_the_bias_and_of_the_input(tiny: Checkpoint) -> None:
    layer = tiny.configuration.weighted_layers[0]
    generator = np.random.default_rng(4)
    inputs = generator.standard_normal((2, 3, 8, 8)).astype(np.float32)
    observed = np.maximum(layer_alone(tiny, layer, inputs).preactivation + 1e-3, 0)
    deviation = generator.uniform(3e-5, 6e-5, inputs.shape)
    errors = errors_of(tiny, COARSE, layer, inputs, observed, deviation)
    assert errors is not None
    units = generator.uniform(1e6, 2e6, observed.shape).astype(np.float32)
    asked = list[tuple[Any, ...]]()

    class Stated:
        def rounding(self, *arguments: Any) -> NDArray[np.float32]:
            asked.append(arguments)
            return units

    found = errors.by(cast("Algorithm", Stated()))
    products = (2.0**-24) ** 2 / 3 * units.astype(np.float64)
    bias = (2.0**-13) ** 2 / 3 * layer_alone(tiny, layer, inputs).preactivation ** 2
    carried = multiply(layer, tiny[f"{layer.name}.weight"], deviation**2, squared=True)
    # None of the three is lost beside the others.
    for part in (products, bias, carried):
        assert part.mean() > 1e-2 * (products + bias + carried).mean()
    expected = fit(errors.values, np.sqrt(products + bias + carried))
    assert (found.ratio, found.largest) == pytest.approx((expected.ratio, expected.largest))
    assert found.costs == pytest.approx(expected.costs, nan_ok=True)
    ((given, weight, mode),) = asked
    assert given.dtype == np.float64
    assert np.array_equal(given, inputs)
    assert np.array_equal(weight, tiny[f"{layer.name}.weight"])
    assert mode is COARSE


@pytest.mark.parametrize(
    ("every", "one", "fail"),
    [
        (0.99 * LIMITS.ratio.limit, 0.0, False),
        (1.01 * LIMITS.ratio.limit, 0.0, True),
        (0.1, 0.99 * LIMITS.deviations.limit, False),
        (0.1, 1.01 * LIMITS.deviations.limit, True),
    ],
)
def test_they_are_a_direct_sums_within_both_limits(every: float, one: float, fail: bool) -> None:
    values = np.full((1, 2, 50, 50), 3e-7 * every)
    values[0, 1, 2, 3] = 3e-7 * max(every, one)
    unused: Any = np.zeros(0)
    errors = LayerErrors(values, np.full(values.shape, 3e-7), 0.0, unused, unused, unused, FLOAT32)
    assert errors.fail is fail


def evidence(checkpoint: Checkpoint, folder: Path, *names: str, **options: Any) -> Evidence:
    """A run that has some taps, which lie far from the arbiter's."""
    generator = np.random.default_rng(5)
    images = generator.standard_normal((2, 3, 64, 64)).astype(np.float32)
    taps, values = {}, images
    for layer in checkpoint.configuration.layers:
        if layer.name in checkpoint.configuration.taps:
            right = layer_alone(checkpoint, cast("Any", layer), values).values
            values = (right + generator.uniform(0.1, 0.2, right.shape)).astype(np.float32)
            taps[layer.name] = values
    np.save(folder / "images.npy", images)
    expectation = SimpleNamespace(case=SimpleNamespace(images=images), folder=folder)
    verdict = CaseVerdict("case", (), ())
    shown = {name: taps[name] for name in names}
    case = cast("ArbiterCase", expectation)
    return Evidence(checkpoint, case, COARSE, shown, options.pop("layers", {}), verdict, **options)


@pytest.mark.parametrize(
    ("name", "shown", "start", "between"),
    [
        ("block1_conv1", ("block1_conv1", "fc1"), "", ()),
        ("block1_conv2", ("block1_conv1", "block1_conv2"), "block1_conv1", ()),
        ("block1_conv2", ("block1_conv2",), "", ("block1_conv1",)),
        ("block2_conv1", ("block1_conv1", "block1_conv2"), "block1_conv2", ("block1_pool",)),
        (
            "block2_conv2",
            ("block1_conv1",),
            "block1_conv1",
            ("block1_conv2", "block1_pool", "block2_conv1"),
        ),
        ("fc1", ("block5_conv3", "fc1"), "block5_conv3", ("block5_pool",)),
        ("predictions", ("block5_pool",), "block5_pool", ("fc1", "fc2")),
    ],
)
def test_a_layer_read_what_the_last_tap_before_it_says(
    tiny: Checkpoint,
    tmp_path: Path,
    name: str,
    shown: tuple[str, ...],
    start: str,
    between: tuple[str, ...],
) -> None:
    run = evidence(tiny, tmp_path, *shown)
    expected = run.taps[start] if start else run.expectation.case.images
    layers: dict[str, Any] = {layer.name: layer for layer in tiny.configuration.layers}
    for tap in between:
        expected = layer_alone(tiny, layers[tap], expected.astype(np.float32)).values
    found = read_by(run, name)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected.astype(np.float32))


def test_only_the_first_layer_of_a_forward_pass_has_the_errors_of_an_input_of_its_own(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    first, second, *_ = tiny.configuration.weighted_layers
    own = Arithmetic(input_deviation=np.full((2, 3, 64, 64), 1e-3))
    run = evidence(tiny, tmp_path, first.name, second.name, assumed=own)
    squares = np.full((2, 3, 64, 64), 1e-6)
    carried = multiply(first, tiny[f"{first.name}.weight"], squares, squared=True)
    alone = evidence(tiny, tmp_path, layers={first.name: run.taps[first.name]}, assumed=own)
    for each, layer, expected in ((run, first, carried), (run, second, 0.0), (alone, first, 0.0)):
        errors = own_errors(each, layer)
        assert errors is not None
        difference = np.abs(errors.carried - expected)
        assert np.max(difference) <= FLOAT64.limit * np.max(expected)
        assert errors.mode is COARSE
    assert own_errors(alone, second) is None
    assert own_errors(evidence(tiny, tmp_path, first.name), second) is None


def test_a_layer_alone_read_the_arbiters_values_in_float32(tmp_path: Path) -> None:
    checkpoint = generate(NETWORK, 1)
    images = np.random.default_rng(0).standard_normal((2, *NETWORK.input_shape)).astype(np.float32)
    answers = expect(checkpoint, Case("noise", images, ("a", "b")), [FLOAT32], tmp_path / "case")
    run = Evidence(checkpoint, answers, FLOAT32, {}, {}, CaseVerdict("noise", (), ()))
    expected = images
    for name in NETWORK.taps:
        found = given_to(run, name)
        assert found.dtype == np.float32
        assert np.array_equal(found, expected), name
        lowest = 0 if answers.relus[name] else -np.inf
        expected = np.maximum(answers.preactivation(name), lowest).astype(np.float32)

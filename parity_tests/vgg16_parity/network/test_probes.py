"""Probes light every unit, are exact and repeatable, and have the scale of each layer's inputs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from onnx_arbiter.error_model import activate
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import PICTURES
from parity_tests.support.weights.changed import with_value
from vgg16_parity import inputs
from vgg16_parity.network import probes, reference
from vgg16_parity.network.prediction import expect
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

FLOAT32: Final = MODES["float32"]


def case_of(checkpoint: Checkpoint, folder: Path) -> ArbiterCase:
    return expect(checkpoint, inputs.pictures(checkpoint, PICTURES), [FLOAT32], folder / "case")


def probed(checkpoint: Checkpoint, folder: Path) -> ArbiterCase:
    case = case_of(checkpoint, folder)
    return probes.expect_probes(checkpoint, case, [FLOAT32], folder / "probes")


@pytest.mark.parametrize("seed", range(10))
def test_every_unit_is_lit_and_every_input_is_fed(seed: int, tmp_path: Path) -> None:
    checkpoint = generate(CONFIGURATIONS["tiny"], seed)
    found = list(probes.lit(probed(checkpoint, tmp_path), checkpoint.configuration))
    assert [layer for layer, _, _ in found] == [
        layer.name for layer in checkpoint.configuration.weighted_layers
    ]
    for layer, values, passes in found:
        assert np.all(values != 0), layer
        half = len(values) // 2
        assert np.array_equal(values[:half], -values[half:])
        assert passes.any(axis=(0, *range(2, passes.ndim))).all(), layer


def test_a_bias_that_cuts_everything_is_outdone_by_a_larger_scale(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = probed(tiny, tmp_path / "before")
    changed = with_value(tiny, "fc2.bias", 3, -40.0)
    after = probed(changed, tmp_path / "after")
    (old, new) = (
        probes.inputs_of(case.folder, tiny.configuration)["fc2"] for case in (before, after)
    )
    factors = (new / old).reshape(2, 2, 2, -1)
    factor = factors.max()
    assert factor in (2.0, 4.0, 8.0, 16.0, 32.0)
    # Of x and -x, half of the pairs keep their scale, so that a small bias is no smaller beside it.
    assert (factors[:, 0] == 1).all()
    assert (factors[:, 1] == factor).all()
    assert (after.preactivation("fc2").max(axis=0) > 0).all()
    # Half as much would leave it dark.
    weight, bias = (changed[f"fc2.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
    assert (new / 2 @ weight.T + bias).max(axis=0)[3] <= 0


def test_a_bias_that_is_off_shows_beside_a_dark_unit(tiny: Checkpoint, tmp_path: Path) -> None:
    """One unit that only large inputs light must not hide a small mistake in the others."""
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    dark = with_value(tiny, "fc2.bias", 3, -40.0)
    before, after = probed(tiny, tmp_path / "before"), probed(dark, tmp_path / "after")
    errors = [case.tap("fc2", FLOAT32).local for case in (before, after)]
    errors = [np.delete(each, 3, axis=1) for each in errors]
    # Scaled up with all pairs, every error would be as many times larger.
    same = (errors[0] == errors[1]).all(axis=1)
    assert same.sum() == len(same) // 2
    assert (errors[1][~same] > errors[0][~same]).all()


def test_a_unit_that_nothing_lights_leaves_the_scale_as_it_is(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    weight = np.array(tiny["fc2.weight"])
    weight[3] = 0
    changed = with_value(tiny.with_tensors({"fc2.weight": weight}), "fc2.bias", 3, -1)
    case = case_of(tiny, tmp_path)
    scales = probes.scales(tiny.configuration, case)
    (probe,) = (p for p in probes.probe(changed, scales, [FLOAT32]) if p.layer == "fc2")
    assert np.abs(probe.inputs).max() <= 1.5 * scales["fc2"]


def test_the_scale_is_that_of_the_layers_own_inputs(tiny: Checkpoint, tmp_path: Path) -> None:
    case = case_of(tiny, tmp_path)
    taps = tiny.configuration.taps
    scales = probes.scales(tiny.configuration, case)
    assert tuple(scales) == taps
    for before, layer in pairwise(taps):
        values = activate(np.array(case.preactivation(before)), case.relus[before])
        rms = np.sqrt(np.square(values).mean())
        assert 2**-0.51 <= scales[layer] / rms <= 2**0.51


@pytest.mark.parametrize("name", ["tiny", "C", "D"])
def test_probes_have_the_shapes_that_layers_read(name: str) -> None:
    configuration = CONFIGURATIONS[name]
    shapes = probes._input_shapes(configuration)
    assert tuple(shapes) == configuration.taps
    assert shapes["fc1"] == configuration.feature_shape
    assert shapes["fc2"] == (configuration.hidden_units,)
    for layer in configuration.convolutions:
        channels, height, width = shapes[layer.name]
        assert channels == layer.in_channels
        assert height == width == min(8, height)
        assert height >= layer.kernel_size or name == "tiny"


def test_the_values_are_the_same_at_every_call_and_in_every_layer_others() -> None:
    first, again, other = (probes.dense(name, (3, 8, 8)) for name in ("fc1", "fc1", "fc2"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert np.abs(first).min() >= 0.5
    assert np.abs(first).max() < 1.5
    # Of either sign as often, whatever the pair.
    assert abs(np.sign(first[: len(first) // 2]).mean()) < 0.15


def test_a_pooling_reads_what_a_relu_lets_through(tiny: Checkpoint, tmp_path: Path) -> None:
    found = probes.inputs_of(probed(tiny, tmp_path).folder, tiny.configuration)
    assert all(values.min() > 0 for layer, values in found.items() if layer.endswith("pool"))


@pytest.mark.parametrize("mode", MODES)
def test_the_first_layer_alone_is_that_of_the_network(tiny: Checkpoint, mode: str) -> None:
    images = inputs.pictures(tiny, PICTURES[:1]).images
    first = tiny.configuration.layers[0]
    walked = next(iter(reference.walk(tiny, images, [MODES[mode]])))
    alone = reference.layer_alone(tiny, first, images, [MODES[mode]])  # type: ignore[arg-type]
    assert np.array_equal(walked.preactivation, alone.preactivation)
    assert np.array_equal(walked.local[mode], alone.local[mode])

"""The Keras models are the network, in both forms and on every backend."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

import keras_impl
from parity_tests.support import keras_checks
from parity_tests.support.architecture import VGG16_LAYERS
from parity_tests.support.helpers import Builder, Check
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

BUILDERS = {"sequential": keras_impl.sequential, "functional": keras_impl.functional}
forms = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def abstract(build: Builder, *arguments: Any, **options: Any) -> Any:
    """A model without values: at full size they would take 0.5 GB and seconds."""
    with keras.StatelessScope(initialize_variables=False):
        return build(*arguments, **options)


@forms
def test_layers_shapes_and_parameters_are_those_of_the_table(build: Builder) -> None:
    model = abstract(build, dropout=0)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    found = [(layer.name, layer.output.shape, layer.count_params()) for layer in layers]
    # The table is channels first, Keras's shapes are channels last with the batch in front.
    expected = [
        (name, (None, *(shape[1:] + shape[:1])), parameters)
        for name, shape, parameters in VGG16_LAYERS
    ]
    assert found == expected
    assert model.count_params() == 138_357_544


@forms
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_has_its_parameters(build: Builder, name: str) -> None:
    assert abstract(build, name).count_params() == configuration(name).parameters()


@forms
def test_dropout_layers_stand_behind_fc1_and_fc2(build: Builder) -> None:
    names = [layer.name for layer in abstract(build, "tiny").layers]
    assert names[-5:] == ["fc1", "fc1_dropout", "fc2", "fc2_dropout", "predictions"]


@forms
def test_the_classifier_ends_in_softmax_unless_told_otherwise(build: Builder) -> None:
    last = [abstract(build, "tiny", classifier_activation=a).layers[-1] for a in ("softmax", None)]
    assert last[0].activation is keras.activations.softmax
    assert last[1].activation is keras.activations.linear


@forms
def test_the_layout_does_not_depend_on_the_users_configuration(build: Builder) -> None:
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        assert abstract(build, "tiny").output_shape == (None, 1000)
        assert abstract(build, "tiny").input_shape == (None, 64, 64, 3)
    finally:
        keras.config.set_image_data_format(before)


@forms
def test_input_shapes_that_do_not_fit_are_refused_when_building(build: Builder) -> None:
    message = r"received an input of shape \(32, 32, 3\), expected \(64, 64, 3\)"
    with pytest.raises(ValueError, match=message):
        build("tiny", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"\(None, None, 3\), expected \(64, 64, 3\)"):
        build("tiny", input_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"\(32, 31, 3\), expected \(at least 32"):
        build("tiny", include_top=False, input_shape=(32, 31, 3))
    with pytest.raises(ValueError, match="'F' is unknown"):
        build("F")


@pytest.mark.parametrize(
    "check",
    [*keras_checks.CHECKS, keras_checks.the_model_in_float64_is_the_arbiter],
    ids=lambda check: check.__name__,
)
def test_on_tensorflow(check: Check, tiny: Checkpoint) -> None:
    check(tiny)


@pytest.fixture(scope="module", autouse=True)
def other_backends() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A process a backend that runs every check, started while the tests on TensorFlow run."""
    processes = {
        backend: subprocess.Popen(
            [sys.executable, "-m", "parity_tests.support.keras_checks"],
            env=os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for backend in ("jax", "torch")
    }
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_the_other_backends(
    other_backends: dict[str, subprocess.Popen[str]], backend: str
) -> None:
    out, err = other_backends[backend].communicate()
    passed = f"{backend}: {len(keras_checks.CHECKS)} of {len(keras_checks.CHECKS)} checks passed"
    assert passed in out, out + err


def test_a_checkpoint_of_another_configuration_is_refused_and_nothing_changes(
    tiny: Checkpoint,
) -> None:
    model = keras_checks.built(keras_impl.functional, tiny)
    other = generate(configuration("A"))
    with pytest.raises(BadInput, match=r"missing: block1_conv2.weight.*wrong shape: block1_conv1"):
        keras_impl.load_checkpoint(model, other)
    left = keras_impl.to_checkpoint(model)
    assert np.array_equal(left["fc1.bias"], tiny["fc1.bias"])
    assert left.recipe.name == "caffe"


def test_a_whole_checkpoint_does_not_slip_into_a_model_without_its_top(tiny: Checkpoint) -> None:
    model = keras_impl.functional("tiny", include_top=False)
    with pytest.raises(BadInput, match=r"unexpected: fc1.weight, fc1.bias, fc2.weight"):
        keras_impl.load_checkpoint(model, tiny)
    keras_impl.load_checkpoint(model, tiny.without_top())


def test_a_model_of_no_configuration_is_refused() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(BadInput, match="its 1 convolution matches no configuration"):
        keras_impl.to_checkpoint(model)

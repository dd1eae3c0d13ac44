"""Layers in front of the network are the recipe that the model computes with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import pytest

from parity_tests.support.helpers import same
from parity_tests.support.tolerances import LEARNT_STATISTICS
from parity_tests.support.weights.keras_models import (
    K,
    assert_same_with,
    in_front,
    model_of,
    nothing,
    pixels,
    set_values,
    stated,
    vgg_layers,
)
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.recipes import RECIPES, Recipe
from vgg16_weights.detection import read
from vgg16_weights.keras.whole_model.configuration import NotThisNetwork
from vgg16_weights.keras.whole_model.model_config import read_configuration

pytestmark = pytest.mark.usefixtures("no_first_reading")


def recipe(name: str, scale: float, mean: Any, std: Any) -> Recipe:
    mean, std = ((x, x, x) if isinstance(x, float) else x for x in (mean, std))
    return Recipe(name=name, scale=scale, mean=mean, std=std)


IMAGENET: Final = RECIPES["torchvision"]
# Layers in front -> the recipe that they are.
FRONTS: Final[dict[str, tuple[list[Any], Recipe]]] = {
    "to one": (
        [partial(K.Rescaling, 1 / 255)],
        RECIPES["zero-one"],
    ),
    "to one, in float32": (
        [partial(K.Rescaling, float(np.float32(1 / 255)))],
        RECIPES["zero-one"],
    ),
    "around zero": (
        [partial(K.Rescaling, 1 / 127.5, offset=-1)],
        RECIPES["tf"],
    ),
    "around zero, in two steps": (
        [partial(K.Rescaling, 1 / 255), partial(K.Rescaling, 2.0, offset=-1.0)],
        RECIPES["tf"],
    ),
    "torchvision's": (
        [
            partial(K.Rescaling, 1 / 255),
            partial(K.Normalization, mean=IMAGENET.mean, variance=[s**2 for s in IMAGENET.std]),
        ],
        IMAGENET,
    ),
    "torchvision's in one": (
        [
            partial(
                K.Normalization,
                mean=[255 * m for m in IMAGENET.mean],
                variance=[(255 * s) ** 2 for s in IMAGENET.std],
            )
        ],
        IMAGENET,
    ),
    "means alone": (
        [partial(K.Normalization, mean=[123.68, 116.779, 103.939], variance=[1.0, 1.0, 1.0])],
        recipe("pixels - (123.68, 116.779, 103.939)", 1.0, (123.68, 116.779, 103.939), 1.0),
    ),
    "one mean for all": (
        [partial(K.Normalization, axis=None, mean=127.0, variance=4.0)],
        recipe("(pixels - 127) / 2", 1.0, 127.0, 2.0),
    ),
    "a scale and then an offset": (
        [partial(K.Rescaling, 0.5, offset=3.0), partial(K.Rescaling, [1.0, 2.0, 4.0], offset=1.0)],
        recipe(
            "(pixels / 2 + (4, 3.5, 3.25)) / (1, 0.5, 0.25)",
            2.0,
            (-4.0, -3.5, -3.25),
            (1.0, 0.5, 0.25),
        ),
    ),
}


@pytest.mark.parametrize("name", FRONTS)
def test_layers_in_front_are_the_recipe(ten: Checkpoint, name: str) -> None:
    makers, expected = FRONTS[name]
    model = model_of(in_front(*makers)(vgg_layers(ten)), ten)
    assert stated(model).recipe == expected
    assert_same_with(expected, model, ten)


# Arithmetic in front -> the recipe that it is.
ARITHMETIC: Final[dict[str, tuple[Callable[[Any], Any], Recipe]]] = {
    "to one": (lambda x: x / 255.0, RECIPES["zero-one"]),
    "around zero": (lambda x: 2 * (x / 255.0) - 1, RECIPES["tf"]),
    "a sum": (lambda x: x * 0.5 + 3.0, recipe("pixels / 2 + 3", 2.0, -3.0, 1.0)),
    "Keras's for VGG16": (
        lambda x: keras.applications.vgg16.preprocess_input(x, data_format="channels_last"),
        RECIPES["caffe"],
    ),
    "channels in reverse, of another scale": (
        lambda x: keras.ops.stack([x[..., 2], x[..., 1], x[..., 0]], axis=-1) / 255.0,
        replace(recipe("BGR pixels / 255", 255.0, 0.0, 1.0), channels="BGR"),
    ),
}


def behind(compute: Callable[[Any], Any], checkpoint: Checkpoint) -> keras.Model:
    """The network behind arithmetic on its images."""
    inputs = keras.Input((64, 64, 3))
    outputs = compute(inputs)
    for layer in vgg_layers(checkpoint):
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    set_values(model, checkpoint)
    return model


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_in_front_is_the_recipe(ten: Checkpoint, name: str) -> None:
    compute, expected = ARITHMETIC[name]
    model = behind(compute, ten)
    assert stated(model).recipe == expected
    assert_same_with(expected, model, ten)


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (lambda x: 255.0 - x, "'subtract"),
        (lambda x: x / -255.0, "scale"),
        (lambda x: x - x, "2 inputs"),
        (lambda x: x[..., ::-1], "is called with"),
        (lambda x: K.Normalization(name="n")(x), "'n' has no mean and variance in the file"),
        (lambda x: keras.ops.stack([x[..., 1], x[..., 2], x[..., 0]], axis=-1), "it branches"),
    ],
)
def test_arithmetic_that_is_no_recipe_is_refused(
    ten: Checkpoint, compute: Callable[[Any], Any], says: str
) -> None:
    model = behind(compute, ten)
    with pytest.raises(NotThisNetwork, match=says):
        stated(model)


@pytest.mark.parametrize("form", [".keras", ".h5"])
def test_the_recipe_travels_with_the_values(ten: Checkpoint, tmp_path: Path, form: str) -> None:
    layers = in_front(partial(K.Rescaling, 1 / 255, name="to_one"))(vgg_layers(ten))
    model_of(layers, ten).save(tmp_path / f"model{form}")
    checkpoint = read(tmp_path / f"model{form}")
    assert same(checkpoint, ten)
    assert checkpoint.metadata.recipe == "zero-one"
    assert "recipe zero-one from layer 'to_one'" in checkpoint.steps


TINTS: Final = np.array([1, 0.5, 0.25], np.float32)


@pytest.mark.parametrize("form", [".keras", ".h5"])
def test_what_normalization_has_learnt_is_read(ten: Checkpoint, tmp_path: Path, form: str) -> None:
    layers = in_front(partial(K.Normalization, name="learnt"))(vgg_layers(ten))
    layers[0].adapt(pixels() * TINTS)
    model_of(layers, ten, form="functional").save(tmp_path / f"model{form}")
    checkpoint = read(tmp_path / f"model{form}")
    assert same(checkpoint, ten)
    kept = json.loads(checkpoint.metadata.preprocessing)
    values = (pixels() * TINTS).astype(np.float64)
    for key, wanted in (("mean", values.mean((0, 1, 2))), ("std", values.std((0, 1, 2)))):
        assert np.abs(kept[key] / wanted - 1).max() <= LEARNT_STATISTICS.limit


@pytest.mark.parametrize(("axis", "is_right"), [(1, True), (-1, False)])
def test_numbers_are_those_of_the_channels(ten: Checkpoint, axis: int, is_right: bool) -> None:
    """In maps that are (N, C, H, W), the last axis is a column."""
    front = partial(K.Normalization, axis=axis, mean=5.0, variance=4.0, name="n")
    config = json.loads(
        model_of(
            in_front(front)(vgg_layers(ten, data_format="channels_first")), ten, (3, 64, 64)
        ).to_json()
    )
    listed = config["config"]["layers"]
    normalization = next(layer for layer in listed if layer["config"]["name"] == "n")
    normalization["config"]["mean"] = [1.0, 2.0, 3.0]
    if is_right:
        assert read_configuration(config, nothing).recipe is not None
        return
    with pytest.raises(NotThisNetwork, match="'n' has numbers along"):
        read_configuration(config, nothing)

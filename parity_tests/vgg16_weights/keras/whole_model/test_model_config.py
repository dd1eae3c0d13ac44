"""A whole model's layers are one chain, read over where they compute nothing."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import pytest

from parity_tests.support.helpers import judge_logits, judge_probabilities, same
from parity_tests.support.weights.keras_models import (
    NOISE,
    Change,
    K,
    activated,
    at,
    both,
    changed,
    in_front,
    instead,
    model_of,
    padded,
    pixels,
    stated,
    vgg_layers,
)
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.detection import read
from vgg16_weights.keras import archive, legacy_h5, weights_h5
from vgg16_weights.keras.whole_model.model_config import ONLY_IN_TRAINING, read_configuration

pytestmark = pytest.mark.usefixtures("no_first_reading")

# Additions that compute nothing, or nothing when the network is used.
HARMLESS: Final[dict[str, Change]] = {
    "nothing": lambda layers: layers,
    "softmax in the last layer": changed("predictions", activation="softmax"),
    "softmax of its own": at("predictions", K.Softmax),
    "softmax as an activation": at("predictions", partial(K.Activation, "softmax")),
    "a ReLU of its own": activated("block1_conv1", K.ReLU),
    "a ReLU as an activation": activated("block2_conv1", partial(K.Activation, "relu")),
    "a ReLU object": changed("block1_conv1", activation=K.ReLU()),
    "a ReLU after pooling": both(
        changed("block1_conv2", activation=None), at("block1_pool", K.ReLU)
    ),
    "a ReLU after the last pooling": both(
        changed("block5_conv3", activation=None), at("block5_pool", K.ReLU)
    ),
    "a ReLU in the classifier": activated("fc1", K.ReLU),
    "ReLU twice": at("block1_conv1", K.ReLU),
    "linear": at("block1_conv1", partial(K.Activation, "linear")),
    "identity": at("fc2", K.Identity),
    "dropout": both(
        at("fc1", partial(K.Dropout, 0.5)), at("block1_pool", partial(K.SpatialDropout2D, 0.1))
    ),
    "noise": both(
        in_front(partial(K.GaussianNoise, 1.0)),
        at("block1_conv1", partial(K.GaussianDropout, 0.5)),
        at("fc1", partial(K.AlphaDropout, 0.5)),
    ),
    "augmentation": in_front(
        partial(K.RandomFlip, "horizontal"),
        partial(K.RandomRotation, 0.1),
        partial(K.RandomZoom, 0.2),
        partial(K.RandomContrast, 0.2),
        partial(K.RandomTranslation, 0.1, 0.1),
        partial(K.RandomBrightness, 0.2),
    ),
    "a penalty": both(
        changed("fc1", kernel_regularizer="l2", kernel_constraint="max_norm"),
        at("fc1", partial(K.ActivityRegularization, l1=0.1)),
    ),
    "padding of its own": padded("block1_conv1", 1),
    "pooling with padding": changed("block1_pool", padding="same"),
    "reshaping": instead("flatten", partial(K.Reshape, (-1,))),
    "resizing to the size of the network": in_front(partial(K.Resizing, 64, 64)),
}


FORMS: Final = {".keras": "functional", ".h5": "sequential"}
# Keras does not save these in an HDF5 file.
NOT_IN_HDF5: Final = ("a ReLU object", "augmentation")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in HARMLESS
        for form in FORMS
        if form != ".h5" or name not in NOT_IN_HDF5
    ],
)
def test_what_computes_nothing_is_left_out(
    ten: Checkpoint, tmp_path: Path, name: str, form: str
) -> None:
    path = tmp_path / f"model{form}"
    model = model_of(HARMLESS[name](vgg_layers(ten)), ten, form=FORMS[form])
    model.save(path)
    checkpoint = read(path)
    assert same(checkpoint, ten)
    assert checkpoint.metadata.recipe == "caffe"
    steps = [step for step in checkpoint.steps if "order" not in step]
    if name == "resizing to the size of the network":
        assert "(64x64) ignored: the recipe sets sizes" in steps.pop()
    assert steps == []
    judge = judge_probabilities if "softmax" in name else judge_logits
    theirs = np.asarray(model(NOISE, training=False))
    verdict = judge(theirs, ten, NOISE.transpose(0, 3, 1, 2))
    assert verdict.passed, verdict.reason


# Some are Keras 2's alone, and every Keras 3 has more of them.
@pytest.mark.parametrize("name", [name for name in ONLY_IN_TRAINING if hasattr(K, name)])
def test_layers_of_training_do_nothing_when_the_network_is_used(name: str) -> None:
    """In any range: images may be scaled before."""
    arguments: dict[str, list[float]] = {
        "RandomRotation": [0.2],
        "RandomZoom": [0.3],
        "RandomTranslation": [0.2, 0.2],
        "RandomPosterization": [1],
    }
    need_a_number = (
        *("Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
        *("RandomContrast", "RandomBrightness", "RandomHue", "RandomSaturation"),
        *("RandomSharpness", "RandomColorDegeneration"),
    )
    given = arguments.get(name, [0.5] if name in need_a_number else [])
    layer = getattr(K, name)(*given)
    images = keras.ops.convert_to_tensor(np.float32(1.5) * pixels() - 100)
    assert np.array_equal(layer(images, training=False), images)


def nested(checkpoint: Checkpoint, levels: int) -> Any:
    """The features in models of their own, with a classifier behind."""
    layers = vgg_layers(checkpoint)
    at_flatten = [layer.name for layer in layers].index("flatten")
    shape: Any = (64, 64, 3)
    body: Any = keras.Sequential([keras.Input(shape), *layers[:at_flatten]], name="vgg16")
    for level in range(levels):
        inputs = keras.Input(shape)
        body = keras.Model(inputs, body(inputs, training=False), name=f"level{level}")
    return keras.Sequential([keras.Input(shape), body, *layers[at_flatten:]])


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_models_in_models_are_one_chain(ten: Checkpoint, levels: int) -> None:
    said = stated(nested(ten, levels))
    path = "".join(f"level{level}/" for level in reversed(range(levels))) + "vgg16/"
    names = [layer.name for layer in ten.configuration.weighted_layers]
    assert said.layers == (*(f"{path}{name}" for name in names[:13]), *names[13:])
    assert (said.head_problem, said.recipe, said.steps) == ("", None, ())


def test_the_order_is_that_of_the_data(ten: Checkpoint, tmp_path: Path) -> None:
    """Not that of the file, which is the alphabet's, nor of the configuration's list."""
    layers = vgg_layers(ten)
    names = [f"x{number}" for number in range(len(ten.configuration.weighted_layers))]
    unnamed = iter(names)
    renamed = [
        type(layer).from_config(layer.get_config() | {"name": next(unnamed)})
        if isinstance(layer, K.Conv2D | K.Dense)
        else layer
        for layer in layers
    ]
    model = model_of(in_front(K.Normalization)(renamed), ten, form="functional")
    config = json.loads(model.to_json())
    config["config"]["layers"].reverse()
    assert read_configuration(config, two_numbers).layers == tuple(names)
    for form, reader in ((".keras", archive), (".h5", legacy_h5)):
        model.save(tmp_path / f"m{form}")
        contents = reader.read(tmp_path / f"m{form}")
        assert contents.is_ordered
        assert [key.rpartition(".")[0] for key in contents.tensors][::2] == names
    bare = weights_h5.read(saved_weights(model, tmp_path))
    assert not bare.is_ordered


def two_numbers(_: str) -> list[Any]:
    return [np.float32(0), np.float32(1)]


def saved_weights(model: Any, folder: Path) -> Path:
    model.save_weights(folder / "m.weights.h5")
    return folder / "m.weights.h5"


@pytest.mark.parametrize(
    ("maps", "flatten", "expected"),
    [
        ("channels_last", "channels_last", "channels_last"),
        ("channels_first", "channels_last", "channels_first"),
        ("channels_first", "channels_first", "channels_last"),
    ],
)
def test_the_order_of_fc1s_inputs_is_told(
    ten: Checkpoint, maps: Any, flatten: Any, expected: Any
) -> None:
    layers = instead("flatten", partial(K.Flatten, data_format=flatten))(
        vgg_layers(ten, data_format=maps)
    )
    shape = (64, 64, 3) if maps == "channels_last" else (3, 64, 64)
    said = stated(model_of(layers, ten, shape))
    assert (said.head_problem, said.data_format) == ("", expected)
    # Flatten itself, on maps that count: in which order does it give C, H and W?
    counted = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)  # (N, C, H, W)
    given = counted if maps == "channels_first" else counted.transpose(0, 2, 3, 1)
    flat = np.asarray(K.Flatten(data_format=flatten)(given))
    wanted = counted if expected == "channels_first" else counted.transpose(0, 2, 3, 1)
    assert np.array_equal(flat, wanted.reshape(1, -1))

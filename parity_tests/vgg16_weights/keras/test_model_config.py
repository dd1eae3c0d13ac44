"""A model's configuration: layers that change nothing are read over, others are refused."""

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
from parity_tests.support.weights.keras_models import (
    Change,
    K,
    activated,
    at,
    both,
    changed,
    in_front,
    instead,
    model_of,
    pixels,
    set_values,
    vgg_layers,
)
from vgg16_parity.network import reference
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.recipes import RECIPES, Recipe
from vgg16_weights.detection import read
from vgg16_weights.keras import archive, legacy_h5, weights_h5
from vgg16_weights.keras.whole_model.configuration import NotThisNetwork
from vgg16_weights.keras.whole_model.layers import parsed
from vgg16_weights.keras.whole_model.model_config import ONLY_IN_TRAINING, read_configuration

pytestmark = pytest.mark.usefixtures("no_first_reading")


def nothing(_: str) -> list[Any]:
    """No layer has arrays that are no weights."""
    return []


def stated(model: Any) -> Any:
    """What a model's configuration says, as Keras writes it."""
    config = parsed(model.to_json())
    assert config is not None
    return read_configuration(config, nothing)


@pytest.fixture(scope="module")
def ten() -> Checkpoint:
    return generate(configuration("tiny", classes=10), 3)


# A change -> the layer or the words that its refusal names, and what it says of them.
RELU: Final = partial(K.ReLU, name="own")
FEATURES: Final[dict[str, tuple[Change, str, str]]] = {
    "average pooling": (
        instead("block2_pool", partial(K.AveragePooling2D, 2, name="mean")),
        "'mean'",
        "average pooling",
    ),
    "elu": (changed("block3_conv2", activation="elu"), "'block3_conv2'", "elu"),
    "relu6": (changed("block1_conv1", activation="relu6"), "'block1_conv1'", "relu6"),
    "sigmoid": (changed("block1_conv1", activation="sigmoid"), "'block1_conv1'", "sigmoid"),
    "softmax in the middle": (
        changed("block1_conv2", activation="softmax"),
        "'block1_conv2'",
        "softmax",
    ),
    "no ReLU": (changed("block4_conv1", activation=None), "'block4_conv1'", "no activation"),
    "no ReLU at the end of the features": (
        changed("block5_conv3", activation=None),
        "'block5_conv3'",
        "no activation",
    ),
    "a leaky ReLU": (
        activated("block1_conv1", lambda: K.LeakyReLU(name="own")),
        "'own'",
        "leaky_relu",
    ),
    "a ReLU with a slope": (
        activated("block1_conv1", partial(K.ReLU, negative_slope=0.1, name="own")),
        "'own'",
        "negative_slope 0.1",
    ),
    "a ReLU with a limit": (
        activated("block1_conv1", partial(K.ReLU, max_value=0.05, name="own")),
        "'own'",
        "max_value 0.05",
    ),
    "a ReLU with a threshold": (
        at("block1_conv1", partial(K.ReLU, threshold=0.5, name="own")),
        "'own'",
        "threshold 0.5",
    ),
    "a ReLU on the images": (
        in_front(lambda: K.Rescaling(1 / 127.5, offset=-1.0), RELU),
        "'own'",
        "relu",
    ),
    "PReLU": (
        activated("block1_conv1", lambda: K.PReLU(alpha_initializer="ones", name="own")),
        "'own'",
        "prelu",
    ),
    "strides": (changed("block1_conv1", strides=[2, 2]), "'block1_conv1'", "strides (2, 2)"),
    "padding": (changed("block1_conv1", padding="valid"), "'block1_conv1'", "padding 'valid'"),
    "dilation": (
        changed("block1_conv1", dilation_rate=[2, 2]),
        "'block1_conv1'",
        "dilation_rate (2, 2)",
    ),
    "groups": (changed("block1_conv2", groups=2), "'block1_conv2'", "2 groups"),
    "kernel size": (changed("block1_conv1", kernel_size=[5, 5]), "'block1_conv1'", "5x5"),
    "a kernel that is not square": (
        changed("block1_conv1", kernel_size=[3, 1]),
        "'block1_conv1'",
        "3x1",
    ),
    "width": (changed("block1_conv2", filters=5), "'block1_conv2'", "of 5"),
    "no bias": (changed("block1_conv2", use_bias=False), "'block1_conv2'", "no bias"),
    "pool size": (
        changed("block1_pool", pool_size=[3, 3], padding="same"),
        "'block1_pool'",
        "pools (3, 3)",
    ),
    "pool strides": (
        changed("block5_pool", strides=[1, 1], padding="same"),
        "'block5_pool'",
        "by (1, 1)",
    ),
    "padding alone": (
        at("block1_conv1", partial(K.ZeroPadding2D, 1, name="pad"), before=True),
        "'block1_conv1'",
        "padding 'same'",
    ),
    "padding of two": (
        both(
            changed("block1_conv1", padding="valid"),
            at("block1_conv1", partial(K.ZeroPadding2D, 2, name="pad"), before=True),
        ),
        "'pad'",
        "adds",
    ),
    "padding on one side": (
        both(
            changed("block1_conv1", padding="valid"),
            at("block1_conv1", partial(K.ZeroPadding2D, ((2, 0), (2, 0)), name="pad"), before=True),
        ),
        "'pad'",
        "adds",
    ),
    "padding before pooling": (
        at("block1_pool", partial(K.ZeroPadding2D, 1, name="pad"), before=True),
        "'pad'",
        "does not precede a convolution",
    ),
    "batch normalisation": (
        at("block1_conv1", partial(K.BatchNormalization, epsilon=0.1, name="bn")),
        "'bn'",
        "batch normalisation",
    ),
    "layer normalisation": (
        at("block1_conv1", partial(K.LayerNormalization, name="ln")),
        "'ln'",
        "where a VGG has none",
    ),
    "L2 normalisation": (
        at("block1_conv1", partial(K.UnitNormalization, name="l2")),
        "'l2'",
        "L2 normalisation",
    ),
    "a separable convolution": (
        instead(
            "block1_conv2",
            partial(K.SeparableConv2D, 4, 3, padding="same", activation="relu", name="own"),
        ),
        "'own'",
        "separable",
    ),
    "an extra convolution": (
        at(
            "block2_conv2", partial(K.Conv2D, 6, 3, padding="same", activation="relu", name="extra")
        ),
        "'extra'",
        "a 3x3 convolution of 6",
    ),
    "a missing convolution": (instead("block4_conv2"), "'block4_pool'", "max pooling"),
    "a missing pooling": (instead("block1_pool"), "'block2_conv1'", "a 3x3 convolution of 6"),
    "pooling elsewhere": (
        both(instead("block3_pool"), at("block3_conv2", partial(K.MaxPooling2D, name="early"))),
        "'early'",
        "max pooling",
    ),
    "upsampling": (
        at("block1_pool", partial(K.UpSampling2D, name="up")),
        "'up'",
        "UpSampling2D",
    ),
    "scaling in the middle": (
        at("block1_conv1", partial(K.Rescaling, 2.0, name="twice")),
        "'twice'",
        "Rescaling",
    ),
    "a negative scale": (
        in_front(partial(K.Rescaling, -1 / 255, name="negative")),
        "'negative'",
        "scale",
    ),
    "normalisation that is inverted": (
        in_front(
            partial(K.Normalization, mean=[1.0, 2, 3], variance=[4.0, 5, 6], invert=True, name="n")
        ),
        "'n'",
        "inverted",
    ),
    "normalisation by column": (
        in_front(partial(K.Normalization, axis=2, mean=5.0, variance=4.0, name="n")),
        "'n'",
        "axis",
    ),
    "contrast": (in_front(partial(K.AutoContrast, name="c")), "'c'", "AutoContrast"),
    "an order of axes": (
        in_front(partial(K.Permute, (2, 1, 3), name="turned")),
        "'turned'",
        "Permute",
    ),
    "cropping": (
        in_front(partial(K.Cropping2D, 1, name="cut")),
        "'cut'",
        "Cropping2D",
    ),
}
HEAD: Final[dict[str, tuple[Change, str, str]]] = {
    "sigmoid at the end": (
        changed("predictions", activation="sigmoid"),
        "'predictions'",
        "sigmoid",
    ),
    "ReLU at the end": (changed("predictions", activation="relu"), "'predictions'", "relu"),
    "softmax twice": (
        at("predictions", K.Softmax, partial(K.Activation, "softmax", name="own")),
        "'own'",
        "softmax",
    ),
    "softmax over the images": (
        activated("predictions", partial(K.Softmax, axis=0, name="own")),
        "'own'",
        "softmax along the axis 0",
    ),
    "tanh in the classifier": (changed("fc1", activation="tanh"), "'fc1'", "tanh"),
    "no ReLU in the classifier": (changed("fc2", activation=None), "'fc2'", "no activation"),
    "softmax in the classifier": (changed("fc2", activation="softmax"), "'fc2'", "softmax"),
    "no bias in the classifier": (changed("fc2", use_bias=False), "'fc2'", "no bias"),
    "batch normalisation in the classifier": (
        at("fc1", partial(K.BatchNormalization, epsilon=0.1, name="bn")),
        "'bn'",
        "batch normalisation",
    ),
    "scaling in the classifier": (
        at("fc1", partial(K.Rescaling, 2.0, name="twice")),
        "'twice'",
        "Rescaling",
    ),
    "global pooling": (
        instead("flatten", partial(K.GlobalAveragePooling2D, name="gap")),
        "'gap'",
        "global average pooling",
    ),
    "two dense layers": (instead("fc2"), "2 dense layers", "where a VGG has 3"),
    "four dense layers": (
        at("predictions", partial(K.Dense, 10, name="fourth")),
        "'predictions'",
        "no activation",
    ),
    "an order of values": (
        at("flatten", partial(K.Permute, (2, 1, 3), name="turned"), before=True),
        "'turned'",
        "Permute",
    ),
    "no last pooling": (instead("block5_pool"), "the last pooling", "missing"),
}


@pytest.mark.parametrize("name", FEATURES)
def test_other_features_are_refused_by_the_layers_name(
    ten: Checkpoint, logits: Any, name: str
) -> None:
    change, layer, says = FEATURES[name]
    model = model_of(change(vgg_layers(ten)), ten)
    with pytest.raises(NotThisNetwork) as refused:
        stated(model)
    assert layer in str(refused.value)
    assert says in str(refused.value)
    assert_differs(model, logits)


@pytest.mark.parametrize("name", HEAD)
def test_another_classifier_is_named_apart(ten: Checkpoint, logits: Any, name: str) -> None:
    change, layer, says = HEAD[name]
    model = model_of(change(vgg_layers(ten)), ten)
    problem = stated(model).head_problem
    assert layer in problem
    assert says in problem
    assert_differs(model, logits)


MOST = 20.0


@pytest.fixture(scope="module")
def logits(ten: Checkpoint) -> Any:
    """What the network itself makes of `pixels`."""
    return reference.run_with_taps(ten, pixels(MOST).transpose(0, 3, 1, 2))["predictions"]


def assert_differs(model: Any, logits: Any) -> None:
    """The model computes neither the network's logits nor their softmax."""
    theirs = np.asarray(model(pixels(MOST), training=False))
    for ours in (logits, softmax(logits)):
        assert theirs.shape != ours.shape or np.abs(theirs - ours).max() > 1e-3


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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
    "padding of its own": both(
        changed("block1_conv1", padding="valid"),
        at("block1_conv1", partial(K.ZeroPadding2D, 1), before=True),
    ),
    "pooling with padding": changed("block1_pool", padding="same"),
    "reshaping": instead("flatten", partial(K.Reshape, (-1,))),
    "resizing to the size of the network": in_front(partial(K.Resizing, 64, 64)),
}


@pytest.mark.parametrize("form", [".keras", ".h5"])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_computes_nothing_is_left_out(
    ten: Checkpoint, logits: Any, tmp_path: Path, name: str, form: str
) -> None:
    if form == ".h5" and name in ("a ReLU object", "augmentation"):
        pytest.skip("Keras does not save one so")
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
    theirs = np.asarray(model(pixels(MOST), training=False))
    ours = softmax(logits) if "softmax" in name else logits
    assert np.abs(theirs - ours).max() < 1e-4 * np.abs(ours).max()


FORMS: Final = {".keras": "functional", ".h5": "sequential"}


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
def test_layers_in_front_are_the_recipe(ten: Checkpoint, tmp_path: Path, name: str) -> None:
    makers, expected = FRONTS[name]
    model = model_of(in_front(*makers)(vgg_layers(ten)), ten)
    assert stated(model).recipe == expected
    # And the network computes with it what the model computes without.
    images = pixels()
    scaled = (images / expected.scale - expected.mean) / expected.std
    ours = reference.run_with_taps(ten, scaled.transpose(0, 3, 1, 2))["predictions"]
    theirs = np.asarray(model(images, training=False))
    assert np.abs(theirs - ours).max() < 1e-4 * np.abs(ours).max()


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


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_in_front_is_the_recipe(ten: Checkpoint, name: str) -> None:
    compute, expected = ARITHMETIC[name]
    inputs = keras.Input((64, 64, 3))
    outputs = compute(inputs)
    for layer in vgg_layers(ten):
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    set_values(model, ten)
    assert stated(model).recipe == expected
    images = pixels()
    ordered = images[..., ::-1] if expected.channels == "BGR" else images
    scaled = (ordered / expected.scale - expected.mean) / expected.std
    ours = reference.run_with_taps(ten, scaled.transpose(0, 3, 1, 2))["predictions"]
    theirs = np.asarray(model(images, training=False))
    assert np.abs(theirs - ours).max() < 1e-4 * np.abs(ours).max()


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (lambda x: 255.0 - x, "'subtract"),
        (lambda x: x / -255.0, "scale"),
        (lambda x: x - x, "2 inputs"),
        (lambda x: x[..., ::-1], "is called with"),
        (lambda x: keras.ops.stack([x[..., 1], x[..., 2], x[..., 0]], axis=-1), "it branches"),
    ],
)
def test_arithmetic_that_is_no_recipe_is_refused(
    ten: Checkpoint, compute: Callable[[Any], Any], says: str
) -> None:
    inputs = keras.Input((64, 64, 3))
    outputs = compute(inputs)
    for layer in vgg_layers(ten):
        outputs = layer(outputs)
    with pytest.raises(NotThisNetwork, match=says):
        stated(keras.Model(inputs, outputs))


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
    assert np.allclose(kept["mean"], values.mean((0, 1, 2)), rtol=1e-5)
    assert np.allclose(kept["std"], values.std((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("name", ONLY_IN_TRAINING)
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
    if not hasattr(K, name):
        pytest.skip("a layer of Keras 2")
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


def test_a_flatten_that_turns_maps_of_the_other_order_is_refused(ten: Checkpoint) -> None:
    layers = changed("flatten", data_format="channels_first")(vgg_layers(ten))
    assert "'flatten'" in stated(model_of(layers, ten)).head_problem


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

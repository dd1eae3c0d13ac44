"""Layers before the classifier that compute something else are refused, by the layer's name."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from parity_tests.support.weights.keras_models import (
    Change,
    K,
    activated,
    assert_differs,
    at,
    both,
    changed,
    in_front,
    instead,
    model_of,
    padded,
    stated,
    vgg_layers,
)
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.keras.whole_model.configuration import NotThisNetwork

pytestmark = pytest.mark.usefixtures("no_first_reading")

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
        padded("block1_conv1", 2, name="pad"),
        "'pad'",
        "pads by",
    ),
    "padding on one side": (
        padded("block1_conv1", ((2, 0), (2, 0)), name="pad"),
        "'pad'",
        "pads by",
    ),
    "padding in place of the last pooling": (
        instead("block5_pool", partial(K.ZeroPadding2D, 1, name="pad")),
        "'pad'",
        "does not precede a convolution, where a VGG has padding only before 3x3",
    ),
    "a larger kernel after padding": (
        both(padded("block1_conv2", 1), changed("block1_conv2", kernel_size=[5, 5])),
        "'block1_conv2'",
        "has the kernel (5, 5) after padding, where a VGG has a 3x3 one",
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
    "a variance of nothing": (
        in_front(partial(K.Normalization, mean=1.0, variance=0.0, name="n")),
        "'n'",
        "has the variance 0, which no recipe can have",
    ),
    "a scale beyond float32's range": (
        in_front(partial(K.Rescaling, 1e-30), partial(K.Rescaling, 1e-30)),
        "the layers before the first convolution",
        "have a scale, a mean or a variance beyond float32's range",
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
        "along the channels",
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


@pytest.mark.parametrize("name", FEATURES)
def test_other_features_are_refused_by_the_layers_name(ten: Checkpoint, name: str) -> None:
    change, layer, says = FEATURES[name]
    model = model_of(change(vgg_layers(ten)), ten)
    with pytest.raises(NotThisNetwork) as refused:
        stated(model)
    assert layer in str(refused.value)
    assert says in str(refused.value)
    assert_differs(model, ten)

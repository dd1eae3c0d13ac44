"""The names that the readers of Keras models know are Keras's own, of one version or another."""

from __future__ import annotations

from typing import Any, Final

import pytest

from parity_tests.support.weights.keras_models import K
from vgg16_weights.keras.kernels import kernels
from vgg16_weights.keras.whole_model import (
    features,
    front,
    layers,
    listed_layers,
    model_config,
    settings,
)
from vgg16_weights.keras.whole_model.configuration import HoldsCode, SavedLayer
from vgg16_weights.keras.whole_model.graph import REVERSAL

# Of Keras 1 and 2, of other packages, or of PyTorch's names for them.
OLDER: Final = {
    "AtrousConvolution2D", "ThresholdedReLU", "RandomHeight", "RandomWidth", "TFOpLambda",
    "SlicingOpLambda",
}  # fmt: skip
# What this project's own reader puts into the chain of layers.
OWN: Final = {REVERSAL, "TrueDivide"}
TABLES: Final[dict[str, Any]] = {
    "features": (
        *features._FOREIGN, *features._CONVOLUTIONS, *features._POOLINGS,
        *settings.ACTIVATION_LAYERS,
    ),
    "front": front.FRONT_LAYERS,
    "listed": listed_layers._FOREIGN,
    "model": (
        *model_config._NOTHING, *model_config.ONLY_IN_TRAINING, *model_config._BEGIN_A_CLASSIFIER,
    ),
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_every_class_is_one_of_keras(table: str) -> None:
    unknown = {name for name in TABLES[table] if not hasattr(K, name)}
    assert unknown <= OLDER | OWN


def test_every_random_layer_of_keras_is_known() -> None:
    random = {name for name in vars(K) if name.startswith("Random")}
    random |= {name for name in ("AugMix", "CutMix", "MixUp", "RandAugment") if hasattr(K, name)}
    known = set(model_config.ONLY_IN_TRAINING)
    # That one crops the centre where nothing is random.
    assert random - known == {"RandomCrop"}
    assert known >= {"RandomHeight", "RandomWidth"}


def saved(**stated: Any) -> SavedLayer:
    return SavedLayer("Conv2D", "conv", "conv", stated)


@pytest.mark.parametrize(
    ("name", "older", "value"),
    [
        ("filters", "nb_filter", 64),
        ("strides", "subsample", [1, 1]),
        ("padding", "border_mode", "same"),
        ("data_format", "dim_ordering", "th"),
        ("use_bias", "bias", False),
        ("activation", "activation", "relu"),
    ],
)
def test_a_setting_has_two_names(name: str, older: str, value: object) -> None:
    assert settings.setting(saved(**{name: value}), name) == value
    assert settings.setting(saved(**{older: value}), name) == value
    assert settings.setting(saved(), name, "missing") == "missing"
    if name != older:
        assert settings.setting(saved(**{older: "wrong", name: value}), name) == value


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, "channels_last"),
        ({"dim_ordering": "th"}, "channels_first"),
        ({"dim_ordering": "tf"}, "channels_last"),
        ({"data_format": "channels_first"}, "channels_first"),
        ({"data_format": "channels_last"}, "channels_last"),
        ({"data_format": None}, "channels_last"),
    ],
)
def test_the_order_of_axes_is_read_in_either_spelling(
    stated: dict[str, Any], expected: str
) -> None:
    assert settings.data_format(saved(**stated)) == expected


@pytest.mark.parametrize("value", ["channels", 1, ["th"]])
def test_another_order_of_axes_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the data_format of Conv2D layer 'conv' is"):
        settings.data_format(saved(data_format=value))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"kernel_size": 3}, (3, 3)),
        ({"kernel_size": [3, 5]}, (3, 5)),
        ({"nb_row": 3, "nb_col": 5}, (3, 5)),
        ({"kernel_size": None, "nb_row": 1, "nb_col": 7}, (1, 7)),
    ],
)
def test_a_kernel_has_a_height_and_a_width(stated: dict[str, Any], expected: object) -> None:
    assert settings.pair(saved(**stated), "kernel_size", (0, 0)) == expected
    assert settings.pair(saved(), "strides", (4, 2)) == (4, 2)


@pytest.mark.parametrize("value", [[3], "3", [3, "5"], [1, 2, 3]])
def test_what_is_no_pair_of_numbers_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the strides of Conv2D layer 'conv' is not a pair"):
        settings.pair(saved(strides=value), "strides", (1, 1))


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (2, (2, 2, 2, 2)),
        ([1, 2], (1, 1, 2, 2)),
        ([[1, 2], [3, 4]], (1, 2, 3, 4)),
        ("same", None),
        (None, None),
    ],
)
def test_a_border_is_above_below_left_and_right(padding: object, expected: object) -> None:
    assert settings.border(saved(padding=padding)) == expected


@pytest.mark.parametrize("policy", ["int8", "int4", "float8", {"name": "quantized_dtype"}])
def test_a_quantised_layer_is_refused(policy: object) -> None:
    with pytest.raises(ValueError, match="is quantised, where a VGG has floating point"):
        settings.check_weights(saved(dtype=policy))
    with pytest.raises(ValueError, match="is quantised"):
        settings.check_weights(saved(quantization_config={"class_name": "Int8"}))
    settings.check_weights(saved(dtype="mixed_bfloat16", quantization_config=None))


@pytest.mark.parametrize(
    "backend",
    ["tensorflow", "cntk", "jax", "torch", "numpy", "openvino", "mxnet", "plaidml", "theano"],
)
@pytest.mark.parametrize("are_oihw", [False, True])
def test_only_theanos_kernels_are_turned(backend: str, are_oihw: bool) -> None:
    found = kernels(
        are_oihw=are_oihw, backend=backend, names=(), file_name="th_kernels", is_keras_1=False
    )
    turned = backend == "theano"
    assert found.steps == (("kernels turned back: saved on Theano",) if turned else ())
    assert (found.arrange is None) is not (turned or are_oihw)


@pytest.mark.parametrize(
    "kind",
    ["Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer", "__lambda__"],
)
@pytest.mark.parametrize("registered", ["{}", "keras.layers.{}", "own>{}"])
def test_a_layer_of_code_is_refused(kind: str, registered: str) -> None:
    name = registered.format(kind)
    text = f'{{"config": {{"layers": [{{"class_name": "{name}", "config": {{"name": "x"}}}}]}}}}'
    says = "a function saved as code" if kind == "__lambda__" else f"{kind} layer 'x'"
    with pytest.raises(HoldsCode, match=f"it contains code: {says}"):
        layers.parsed(text)

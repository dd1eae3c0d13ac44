"""Chains and graphs of Keras 1, 2 and 3 are one chain of layers, or are refused by a name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from parity_tests.support.weights.keras_configs import (
    NAMES,
    TINY,
    Config,
    keras_1,
    keras_2,
    layer,
    set_to,
    stated_by,
)
from vgg16_spec.architecture import configuration
from vgg16_weights.keras.whole_model.configuration import NotThisNetwork
from vgg16_weights.keras.whole_model.model_config import ModelConfiguration
from vgg16_weights.keras.written_config import model_config

pytestmark = pytest.mark.usefixtures("no_first_reading")


@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E", "tiny"])
@pytest.mark.parametrize("include_top", [True, False])
def test_what_is_written_here_says_nothing_against_it(name: str, include_top: bool) -> None:
    network = configuration(name, include_top=include_top)
    names = tuple(layer.name for layer in network.weighted_layers)
    order = "channels_last" if include_top else None
    for config in (model_config(network), keras_2(network)):
        assert stated_by(config) == ModelConfiguration(names, data_format=order)  # type: ignore[arg-type]


def test_a_sequential_of_keras_1_is_the_same_network() -> None:
    for order, maps in (("th", "channels_first"), ("tf", "channels_last")):
        said = stated_by(keras_1(TINY, order))
        assert said == ModelConfiguration(NAMES, data_format=maps)  # type: ignore[arg-type]


def test_keras_1_flattens_maps_as_they_are() -> None:
    """Only since 2.2 does Flatten know the order of the axes."""
    assert stated_by(keras_1(TINY, "th")).data_format == "channels_first"


def test_a_model_in_a_model_of_keras_2() -> None:
    body = keras_2(configuration("tiny", include_top=False))
    head = keras_2(TINY)
    listed = head["config"]["layers"]
    first = next(n for n, layer in enumerate(listed) if layer["name"] == "flatten")
    inner = {"name": "vgg16", "class_name": "Model", "config": body["config"]}
    inner["inbound_nodes"] = [[["input_layer", 0, 0, {}]]]
    listed[first]["inbound_nodes"] = [[["vgg16", 1, 0, {}]]]
    head["config"]["layers"] = [listed[0], inner, *listed[first:]]
    said = stated_by(head)
    assert said.layers == (*(f"vgg16/{name}" for name in NAMES[:13]), *NAMES[13:])
    assert said.head_problem == ""


def test_dropout_that_keras_2_calls_in_training_is_random() -> None:
    said = stated_by(keras_2(TINY, fc1_dropout={"training": True}))
    assert "'fc1_dropout' is always called in training mode" in said.head_problem
    assert stated_by(keras_2(TINY, fc1_dropout={"training": False})).head_problem == ""
    assert stated_by(keras_2(TINY, fc1={"training": True})).head_problem == ""


def test_operators_of_keras_2_in_front_are_the_recipe() -> None:
    config = keras_2(TINY)
    listed = config["config"]["layers"]
    below = "input_layer"
    for function, number in (("math.truediv", 127.5), ("math.subtract", 1.0)):
        name = f"tf.{function}"
        settings = {"name": name, "trainable": True, "dtype": "float32", "function": function}
        calls = [[below, 0, 0, {"y": number, "name": None}]]
        row = {"name": name, "class_name": "TFOpLambda", "config": settings}
        listed.append(row | {"inbound_nodes": calls})
        below = name
    layer(config, "block1_conv1")["inbound_nodes"] = [[[below, 0, 0, {}]]]
    recipe = stated_by(config).recipe
    assert recipe is not None
    assert (recipe.name, recipe.scale, recipe.mean) == ("tf", 127.5, (1, 1, 1))
    layer(config, "tf.math.truediv")["config"]["function"] = "math.pow"
    with pytest.raises(NotThisNetwork, match="TFOpLambda layer"):
        stated_by(config)


def kind(name: str, **row: Any) -> Callable[[Config], None]:
    return lambda config: layer(config, name).update(row)


def branch(config: Config) -> None:
    other = copy.deepcopy(layer(config, "block1_pool"))
    other["name"] = other["config"]["name"] = "other"
    config["config"]["layers"].append(other)


def shared(config: Config) -> None:
    layer(config, "block2_conv2")["inbound_nodes"] *= 2


def several_inputs(config: Config) -> None:
    config["config"]["input_layers"] = [["input_layer", 0, 0], ["other", 0, 0]]


def merged(config: Config) -> None:
    node = layer(config, "block1_pool")["inbound_nodes"][0]
    node["args"] = [[node["args"][0], copy.deepcopy(node["args"][0])]]


def cycle(config: Config) -> None:
    first = layer(config, "block1_conv1")["inbound_nodes"][0]["args"][0]["config"]
    first["keras_history"] = ["block3_conv1", 0, 0]


def early_output(config: Config) -> None:
    config["config"]["output_layers"] = ["fc1", 0, 0]


def constant(config: Config) -> None:
    layer(config, "block1_pool")["inbound_nodes"][0]["args"].append(0.5)


def same_name(config: Config) -> None:
    config["config"]["layers"].append(copy.deepcopy(layer(config, "block1_pool")))


def called(name: str, **arguments: object) -> Callable[[Config], None]:
    return lambda config: layer(config, name)["inbound_nodes"][0].update(arguments)


def end(key: str, value: object) -> Callable[[Config], None]:
    return lambda config: config["config"].update({key: value})


INT8: Final = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
CUSTOM: Final = {"module": "mine.layers", "registered_name": "mine>Conv2D"}
# A change -> words of the refusal; those of the classifier are told apart.
REFUSED: Final[dict[str, tuple[Callable[[Config], None], str]]] = {
    "a branch": (branch, "2 layers read 'block1_conv2': it branches"),
    "a shared layer": (shared, "'block2_conv2' is shared"),
    "two inputs": (several_inputs, "it has 2 inputs"),
    "a merge": (merged, "'block1_pool' has 2 inputs"),
    "a cycle": (
        cycle,
        "layer 'block1_conv1' is not on the path from input to output",
    ),
    "a name twice": (same_name, "two of its layers have the same name"),
    "an input that is missing": (
        end("input_layers", ["gone", 0, 0]),
        "its graph leads to 'gone', which is missing or comes twice",
    ),
    "inputs that are no list": (end("input_layers", "images"), "its input_layers are not a list"),
    "calls that are no list": (
        kind("block1_pool", inbound_nodes="block1_conv2"),
        "the inputs of layer 'block1_pool' are not a list",
    ),
    "arguments of a call that are no dictionary": (
        called("block1_pool", kwargs=[0.5]),
        "'block1_pool' is called with 'not a dictionary'",
    ),
    "a mask": (called("block1_pool", kwargs={"mask": [1]}), "'block1_pool' is called with a mask"),
    "a width that is no number": (
        set_to("block1_conv1", filters="four"),
        "the filters of Conv2D layer 'block1_conv1' is not a whole number",
    ),
    "a kernel that is no pair": (
        set_to("block1_conv1", kernel_size=[3, 3, 3]),
        "the kernel_size of Conv2D layer 'block1_conv1' is not a pair of numbers",
    ),
    "an unknown order of axes": (
        set_to("block1_conv1", data_format="channels_middle"),
        "the data_format of Conv2D layer 'block1_conv1' is 'channels_middle'",
    ),
    "a constant": (constant, "'block1_pool' is called with 'a constant'"),
    "int8": (set_to("block1_conv1", dtype=INT8), "'block1_conv1' is quantised"),
    "a class of one's own": (
        kind("block1_conv1", **CUSTOM),
        "'block1_conv1' has a class that is not Keras's",
    ),
    "a registered class": (
        kind("block1_conv1", class_name="mine>Conv2D"),
        "'block1_conv1' has a class that is not Keras's",
    ),
    "an activation of one's own": (
        set_to(
            "block1_conv1",
            activation={"module": "mine", "class_name": "function", "config": "relu"},
        ),
        "it names 'mine.relu', which is not Keras's",
    ),
    "one input channel": (
        set_to("input_layer", batch_shape=[None, 64, 64, 1]),
        "1 input channel, where a VGG has 3",
    ),
    "orders of axes": (
        set_to("block1_conv2", data_format="channels_first"),
        "'block1_conv2' is channels_first, unlike",
    ),
}
HEAD: Final[dict[str, tuple[Callable[[Config], None], str]]] = {
    "an earlier output": (early_output, "its output is that of layer 'fc1'"),
    "a quantised classifier": (set_to("fc1", dtype=INT8), "'fc1' is quantised"),
    "another size": (
        set_to("input_layer", batch_shape=[None, 32, 32, 3]),
        "the last maps are 1x1, where tiny has 2x2",
    ),
    "maps of another form": (
        set_to("input_layer", batch_shape=[None, 128, 32, 3]),
        "the last maps are 4x1, where tiny has 2x2",
    ),
    "a shared classifier": (
        lambda config: layer(config, "fc2")["inbound_nodes"].append({"args": [], "kwargs": {}}),
        "'fc2' is shared",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_graph_that_is_no_vgg_is_refused_by_name(name: str) -> None:
    change, says = REFUSED[name]
    config = model_config(TINY)
    change(config)
    with pytest.raises(ValueError, match=r"\S") as refused:
        stated_by(config)
    assert says in str(refused.value)


@pytest.mark.parametrize("name", HEAD)
def test_another_classifier_is_told_apart(name: str) -> None:
    change, says = HEAD[name]
    config = model_config(TINY)
    change(config)
    said = stated_by(config)
    assert says in said.head_problem
    assert said.layers[:13] == NAMES[:13]


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "bfloat16", "float64"])
def test_any_floating_point_is_the_same_network(policy: str) -> None:
    config = model_config(TINY)
    for row in config["config"]["layers"]:
        row["config"]["dtype"] = {"class_name": "DTypePolicy", "config": {"name": policy}}
    assert stated_by(config).head_problem == ""


def test_pooling_that_pads_matters_where_sides_are_odd() -> None:
    config = model_config(TINY)
    set_to("block2_pool", padding="same")(config)
    assert stated_by(config).head_problem == ""
    set_to("input_layer", batch_shape=[None, 66, 66, 3])(config)
    with pytest.raises(NotThisNetwork, match="'block2_pool' has the padding 'same'"):
        stated_by(config)

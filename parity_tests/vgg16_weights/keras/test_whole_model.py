"""Configurations of Keras 1, 2 and 3 as data: chains, graphs, models in models, and nonsense."""

from __future__ import annotations

import copy
import json
import math
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.refusals import refusal
from parity_tests.support.weights.tiny_files import repacked
from vgg16_spec.architecture import Configuration, Convolution, Dense, MaxPooling, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights.detection import read
from vgg16_weights.keras.whole_model.configuration import NotThisNetwork
from vgg16_weights.keras.whole_model.layers import parsed
from vgg16_weights.keras.whole_model.model_config import ModelConfiguration, read_configuration
from vgg16_weights.keras.written_config import model_config

pytestmark = pytest.mark.usefixtures("no_first_reading")

TINY: Final = configuration("tiny")
NAMES: Final = tuple(layer.name for layer in TINY.weighted_layers)
Config = dict[str, Any]


def stated(config: Any) -> ModelConfiguration:
    found = parsed(json.dumps(config))
    assert found is not None
    return read_configuration(found, lambda _: [])


def keras_1(network: Configuration, order: str = "th") -> Config:
    """What ``to_json`` of Keras 1.2 gives for a Sequential with paddings of their own."""
    shape = [None, 3, 64, 64] if order == "th" else [None, 64, 64, 3]
    rows: list[tuple[str, str, Config]] = []
    for layer in network.layers:
        match layer:
            case Convolution():
                rows.append(("ZeroPadding2D", f"{layer.name}_pad", {"padding": [1, 1]}))
                size: Config = {"nb_row": 3, "nb_col": 3, "nb_filter": layer.out_channels}
                more = {"border_mode": "valid", "subsample": [1, 1], "activation": "relu"}
                rows.append(("Convolution2D", layer.name, size | more | {"bias": True}))
            case MaxPooling():
                size = {"pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid"}
                rows.append(("MaxPooling2D", layer.name, size))
            case Dense():
                kind = "relu" if layer.relu else "softmax"
                settings = {"output_dim": layer.out_features, "activation": kind, "bias": True}
                rows.append(("Dense", layer.name, settings))
                rows.append(("Dropout", f"{layer.name}_dropout", {"p": 0.5}))
            case _:
                rows.append(("Flatten", layer.name, {}))
    listed: list[Config] = [
        {"class_name": kind, "config": {"name": name, "trainable": True, **settings}}
        for kind, name, settings in rows
    ]
    for row in listed:
        if row["class_name"] not in ("Dense", "Dropout", "Flatten"):
            row["config"]["dim_ordering"] = order
    listed[0]["config"] |= {"batch_input_shape": shape, "input_dtype": "float32"}
    return {"class_name": "Sequential", "config": listed, "keras_version": "1.2.2"}


def keras_2(network: Configuration, **calls: Config) -> Config:
    """What ``to_json`` of Keras 2.2 gives for a functional model; what layers are called with."""
    new = model_config(network)["config"]
    listed: list[Config] = []
    for layer in new["layers"]:
        settings = {k: v for k, v in layer["config"].items() if k not in ("dtype", "groups")}
        if "batch_shape" in settings:
            settings["batch_input_shape"] = settings.pop("batch_shape")
        name = settings["name"]
        below = [listed[-1]["name"], 0, 0, calls.get(name, {})] if listed else None
        row = {"name": name, "class_name": layer["class_name"], "config": settings}
        listed.append(row | {"inbound_nodes": [[below]] if below else []})
    ends = {"input_layers": [[listed[0]["name"], 0, 0]]}
    ends |= {"output_layers": [[listed[-1]["name"], 0, 0]]}
    whole = {"name": new["name"], "layers": listed, **ends}
    return {"class_name": "Model", "config": whole, "keras_version": "2.2.4"}


@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E", "tiny"])
@pytest.mark.parametrize("include_top", [True, False])
def test_what_is_written_here_says_nothing_against_it(name: str, include_top: bool) -> None:
    network = configuration(name, include_top=include_top)
    names = tuple(layer.name for layer in network.weighted_layers)
    order = "channels_last" if include_top else None
    for config in (model_config(network), keras_2(network)):
        assert stated(config) == ModelConfiguration(names, data_format=order)  # type: ignore[arg-type]


def test_a_sequential_of_keras_1_is_the_same_network() -> None:
    for order, maps in (("th", "channels_first"), ("tf", "channels_last")):
        said = stated(keras_1(TINY, order))
        assert said == ModelConfiguration(NAMES, data_format=maps)  # type: ignore[arg-type]


def test_keras_1_flattens_maps_as_they_are() -> None:
    """Only since 2.2 does Flatten know the order of the axes."""
    assert stated(keras_1(TINY, "th")).data_format == "channels_first"


def test_a_model_in_a_model_of_keras_2() -> None:
    body = keras_2(configuration("tiny", include_top=False))
    head = keras_2(TINY)
    listed = head["config"]["layers"]
    first = next(n for n, layer in enumerate(listed) if layer["name"] == "flatten")
    inner = {"name": "vgg16", "class_name": "Model", "config": body["config"]}
    inner["inbound_nodes"] = [[["input_layer", 0, 0, {}]]]
    listed[first]["inbound_nodes"] = [[["vgg16", 1, 0, {}]]]
    head["config"]["layers"] = [listed[0], inner, *listed[first:]]
    said = stated(head)
    assert said.layers == (*(f"vgg16/{name}" for name in NAMES[:13]), *NAMES[13:])
    assert said.head_problem == ""


def test_dropout_that_keras_2_calls_in_training_is_random() -> None:
    said = stated(keras_2(TINY, fc1_dropout={"training": True}))
    assert "'fc1_dropout' is always called in training mode" in said.head_problem
    assert stated(keras_2(TINY, fc1_dropout={"training": False})).head_problem == ""
    assert stated(keras_2(TINY, fc1={"training": True})).head_problem == ""


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
    recipe = stated(config).recipe
    assert recipe is not None
    assert (recipe.name, recipe.scale, recipe.mean) == ("tf", 127.5, (1, 1, 1))
    layer(config, "tf.math.truediv")["config"]["function"] = "math.pow"
    with pytest.raises(NotThisNetwork, match="TFOpLambda layer"):
        stated(config)


def layer(config: Config, name: str) -> Config:
    found: Config = next(row for row in config["config"]["layers"] if row["config"]["name"] == name)
    return found


def set_to(name: str, **settings: Any) -> Callable[[Config], None]:
    return lambda config: layer(config, name)["config"].update(settings)


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


INT8: Final = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
CUSTOM: Final = {"module": "mine.layers", "registered_name": "mine>Conv2D"}
# A change -> words of the refusal; those of the classifier are told apart.
REFUSED: Final[dict[str, tuple[Callable[[Config], None], str]]] = {
    "a branch": (branch, "2 layers read 'block1_conv2': it branches"),
    "a shared layer": (shared, "'block2_conv2' is shared"),
    "two inputs": (several_inputs, "it has 2 inputs"),
    "a merge": (merged, "'block1_pool' has 2 inputs"),
    "a cycle": (cycle, "block1_conv1"),
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
        "'block1_conv1' has the activation mine.relu",
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
        stated(config)
    assert says in str(refused.value)


@pytest.mark.parametrize("name", HEAD)
def test_another_classifier_is_told_apart(name: str) -> None:
    change, says = HEAD[name]
    config = model_config(TINY)
    change(config)
    said = stated(config)
    assert says in said.head_problem
    assert said.layers[:13] == NAMES[:13]


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "bfloat16", "float64"])
def test_any_floating_point_is_the_same_network(policy: str) -> None:
    config = model_config(TINY)
    for row in config["config"]["layers"]:
        row["config"]["dtype"] = {"class_name": "DTypePolicy", "config": {"name": policy}}
    assert stated(config).head_problem == ""


def test_pooling_that_pads_matters_where_sides_are_odd() -> None:
    config = model_config(TINY)
    set_to("block2_pool", padding="same")(config)
    assert stated(config).head_problem == ""
    set_to("input_layer", batch_shape=[None, 66, 66, 3])(config)
    with pytest.raises(NotThisNetwork, match="'block2_pool' has the padding 'same'"):
        stated(config)


DEEP: Final = b"[" * 200_000 + b"]" * 200_000


def inside(levels: int) -> Config:
    config = model_config(TINY)
    for _ in range(levels):
        config = {"class_name": "Sequential", "config": {"name": "in", "layers": [config]}}
    return config


# Text of a configuration -> words of the refusal.
NONSENSE: Final[dict[str, tuple[Any, str]]] = {
    "no JSON": (b"{", "not JSON"),
    "deep": (b'{"config": {"layers": ' + DEEP + b"}}", "nested too deeply"),
    "models in models": (inside(40), "nested more than 16 deep"),
    "no layers": ({"class_name": "Sequential", "config": {"layers": [1]}}, "one of its layers"),
    "no class": ({"config": {"layers": [{"config": {"name": "x"}}]}}, "no class"),
    "no name": ({"config": {"layers": [{"class_name": "Dense", "config": {}}]}}, "no name"),
    "nothing": ({"config": {"layers": []}}, "it ends after 0 convolutions"),
    "a scale that is no number": (
        {
            "config": {
                "layers": [{"class_name": "Rescaling", "config": {"name": "r", "scale": math.nan}}]
            }
        },
        "'r' does not have one finite number",
    ),
    "a scale beyond numbers": (
        {
            "config": {
                "layers": [{"class_name": "Rescaling", "config": {"name": "r", "scale": 10**400}}]
            }
        },
        "'r' does not have one finite number",
    ),
    "a scale of words": (
        {
            "config": {
                "layers": [{"class_name": "Rescaling", "config": {"name": "r", "scale": "x"}}]
            }
        },
        "'r' does not have one finite number",
    ),
    "a long name": (
        {"config": {"layers": [{"class_name": "Conv2D", "config": {"name": "x\n" * 9999}}]}},
        "Conv2D layer 'x",
    ),
    "a long class": (
        {"config": {"layers": [{"class_name": "C" * 9999, "config": {"name": "x"}}]}},
        "CCC",
    ),
    "many layers": (
        {"config": {"layers": [{"class_name": "Identity", "config": {"name": "x"}}] * 60_000}},
        "it ends after 0 convolutions",
    ),
    "an endless activation": (
        {
            "config": {
                "layers": [
                    {
                        "class_name": "Activation",
                        "config": {"name": "x", "activation": ["y"] * 9999},
                    }
                ]
            }
        },
        "'x' is",
    ),
    "code": (
        {"config": {"layers": [{"class_name": "Lambda", "config": {"name": "lambda_1"}}]}},
        "it contains code: Lambda layer 'lambda_1'",
    ),
    "a function as code": (
        {
            "config": {
                "layers": [
                    {"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__"}}}
                ]
            }
        },
        "it contains code: a function",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_at_once_in_one_short_line(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    config, says = NONSENSE[name]
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    vgg16_weights.write(tiny, tmp_path / "plain", "keras")
    repacked(
        tmp_path / "plain",
        tmp_path / "m.keras",
        lambda member, content: (member, text if member == "config.json" else content, 0),
    )
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.empty(0)
        # As Keras keeps it: in an attribute of any length.
        file.attrs["model_config"] = text.decode()
    for path, form in (("m.keras", "keras"), ("m.h5", "keras-h5")):
        start = time.monotonic()
        line = refusal(form, tmp_path / path)
        assert time.monotonic() - start < 5
        assert says in line
        assert len(line) - len(str(tmp_path)) < 240


def test_a_model_that_lists_no_layers_is_read_by_its_weights(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    vgg16_weights.write(tiny, tmp_path / "plain", "keras")
    config = json.dumps({"module": "mine", "class_name": "VGG", "config": {"trainable": True}})
    repacked(
        tmp_path / "plain",
        tmp_path / "m.keras",
        lambda member, content: (member, config if member == "config.json" else content, 0),
    )
    checkpoint = read(tmp_path / "m.keras")
    assert same(checkpoint, tiny)
    assert "read by its weights alone" in " ".join(checkpoint.steps)


def test_another_classifier_is_refused_unless_it_is_not_wanted(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    config = model_config(tiny.configuration)
    set_to("predictions", activation="sigmoid")(config)
    vgg16_weights.write(tiny, tmp_path / "plain", "keras")
    repacked(
        tmp_path / "plain",
        tmp_path / "m.keras",
        lambda member, content: (
            member,
            json.dumps(config) if member == "config.json" else content,
            0,
        ),
    )
    with pytest.raises(BadInput, match=r"'predictions' has the activation sigmoid.*--no-top"):
        read(tmp_path / "m.keras")
    # Not wanted, it is no reason.
    read(tmp_path / "m.keras", include_top=False)


def test_what_is_written_here_is_read_without_a_word(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.keras", "keras")
    checkpoint = read(tmp_path / "w.keras")
    assert checkpoint.steps == ()
    assert checkpoint.metadata == tiny.metadata
    with zipfile.ZipFile(tmp_path / "w.keras") as archive:
        assert stated(json.loads(archive.read("config.json"))).head_problem == ""

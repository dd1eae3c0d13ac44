"""Configurations of whole models as Keras 1, 2 and 3 write them, as data, and changes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import vgg16_weights
from parity_tests.support.weights.tiny_files import repacked
from vgg16_spec.architecture import Configuration, Convolution, Dense, MaxPooling, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.keras.whole_model.layers import parsed
from vgg16_weights.keras.whole_model.model_config import ModelConfiguration, read_configuration
from vgg16_weights.keras.written_config import model_config

TINY: Final = configuration("tiny")
NAMES: Final = tuple(layer.name for layer in TINY.weighted_layers)
Config = dict[str, Any]


def stated_by(config: Any) -> ModelConfiguration:
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


def layer(config: Config, name: str) -> Config:
    found: Config = next(row for row in config["config"]["layers"] if row["config"]["name"] == name)
    return found


def set_to(name: str, **settings: Any) -> Callable[[Config], None]:
    return lambda config: layer(config, name)["config"].update(settings)


def saved_with(config: bytes | str, checkpoint: Checkpoint, path: Path) -> Path:
    """A whole model of Keras 3 whose configuration is another text."""
    plain = path.with_name("plain")
    vgg16_weights.write(checkpoint, plain, "keras")
    repacked(
        plain,
        path,
        lambda member, content: (member, config if member == "config.json" else content, 0),
    )
    plain.unlink()
    return path

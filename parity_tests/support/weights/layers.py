"""Files as the names and shapes of their tensors, and what `identify` makes of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from vgg16_spec.architecture import CONFIGURATIONS, Configuration, Shape, configuration
from vgg16_spec.checkpoint.shapes import misfits
from vgg16_spec.errors import BadInput
from vgg16_spec.names import same_values
from vgg16_weights.matching.identify import Identity, identify

# Key in a file -> canonical name and shape.
File = dict[str, tuple[str, Shape]]

HEAD = ("fc1", "fc2", "predictions")
DENSE = {
    "keras": HEAD,
    "authors": ("fc6", "fc7", "fc8"),
    "torchvision": ("classifier.0", "classifier.3", "classifier.6"),
    "dropout first": ("classifier.1", "classifier.4", "classifier.6"),
    "timm": ("pre_logits.fc1", "pre_logits.fc2", "head.fc"),
}
DENSE["numbers"] = DENSE["torchvision"]
# The modules of torchvision's `features`, counted by hand from Table 1.
MODULES = {
    "A": (0, 3, 6, 8, 11, 13, 16, 18),
    "B": (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    "C": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "D": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "E": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    "tiny": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
TINY = configuration("tiny")

networks = pytest.mark.parametrize("name", CONFIGURATIONS)
schemes = pytest.mark.parametrize("scheme", DENSE)


def convolution_name(scheme: str, network: Configuration, index: int) -> str:
    ours = network.convolutions[index].name
    match scheme:
        case "keras":
            return ours
        case "authors":
            return f"conv{ours[5]}_{ours[-1]}"
        case "numbers":
            return str(MODULES[network.name][index])
        case _:
            return f"features.{MODULES[network.name][index]}"


def file_of(network: Configuration, scheme: str, *, top: bool = True) -> File:
    """What a file has in it, by a scheme that is written down here a second time."""
    names = [convolution_name(scheme, network, i) for i in range(len(network.convolutions))]
    if top:
        names += DENSE[scheme]
    made: File = {}
    layers = network.with_head(include_top=top, classes=network.classes).weighted_layers
    for theirs, layer in zip(names, layers, strict=True):
        weight = layer.weight_shape
        if scheme == "timm" and layer.name == "fc1":
            weight = (weight[0], *network.feature_shape)
        if scheme == "timm" and layer.name == "fc2":
            weight = (*weight, 1, 1)
        made[f"{theirs}.weight"] = f"{layer.name}.weight", weight
        made[f"{theirs}.bias"] = f"{layer.name}.bias", weight[:1]
    return made


PLAIN = file_of(TINY, "torchvision")
FEATURES = file_of(TINY, "torchvision", top=False)


def renamed(file: File, new: Callable[[str], str]) -> File:
    return {new(key): value for key, value in file.items()}


def shuffled(file: File, seed: int = 3) -> File:
    items = list(file.items())
    random.Random(seed).shuffle(items)
    return dict(items)


def read(file: File, **options: object) -> Identity:
    """What `identify` says, with the refusal that a checkpoint would make of it."""
    shapes = {key: shape for key, (_, shape) in file.items()}
    found = identify(shapes, label="w", **options)  # type: ignore[arg-type]
    network = found.configuration
    stored = {name: shapes[key] for name, key in found.keys.items()}
    for name, shape in network.weight_shapes.items():
        if name in stored and same_values(shape, stored[name], network.feature_shape):
            stored[name] = shape
    if problems := misfits(network.weight_shapes, stored):
        raise BadInput("w", "; ".join(problems), f"configuration {network.name}")
    return found


def assert_true(found: Identity, file: File) -> None:
    """Every tensor that was found is the one that it is called."""
    assert {key: name for name, key in found.keys.items()} == {
        key: file[key][0] for key in found.keys.values()
    }


def refusal(file: File, **options: object) -> str:
    with pytest.raises(BadInput) as caught:
        read(file, **options)
    assert len(str(caught.value)) <= 280
    return str(caught.value)


def under(prefix: str, file: File) -> File:
    return renamed(file, lambda key: prefix + key)


def layer(name: str, *shape: int) -> File:
    return {f"{name}.weight": ("", shape), f"{name}.bias": ("", shape[:1])}

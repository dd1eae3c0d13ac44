"""The literal table of names is what the architecture and the other projects say."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from vgg16_spec.architecture import CONFIGURATIONS, Convolution, MaxPooling, configuration
from vgg16_spec.names import Names, names, torchvision_keys


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_table_follows_from_the_architecture(name: str) -> None:
    network = configuration(name)
    derived = []
    position = 0
    for layer in network.layers:
        if isinstance(layer, Convolution):
            numbered = f"features.{position}"
            derived.append(Names(layer.name, layer.name, numbered, numbered))
            position += 2  # the convolution and its ReLU
        elif isinstance(layer, MaxPooling):
            position += 1
    for index, dense in enumerate(("fc1", "fc2", "predictions")):
        timm_name = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")[index]
        # A hidden dense layer, its ReLU and its dropout take three places.
        derived.append(Names(dense, dense, f"classifier.{3 * index}", timm_name))
    assert list(names(network).values()) == derived
    assert list(names(network)) == [layer.name for layer in network.weighted_layers]


@pytest.mark.parametrize(("name", "theirs"), [("A", 11), ("B", 13), ("D", 16), ("E", 19)])
def test_torchvision_has_these_keys_with_these_shapes(name: str, theirs: int) -> None:
    network = configuration(name)
    with torch.device("meta"):
        state = getattr(torchvision.models, f"vgg{theirs}")(weights=None).state_dict()
    ours = {key: network.weight_shapes[n] for n, key in torchvision_keys(network).items()}
    assert ours == {key: tuple(values.shape) for key, values in state.items()}


@pytest.mark.parametrize(("name", "theirs"), [("A", 11), ("B", 13), ("D", 16), ("E", 19)])
def test_timm_has_these_keys(name: str, theirs: int) -> None:
    with torch.device("meta"):
        model = timm.create_model(f"vgg{theirs}", pretrained=False)
    table = names(configuration(name)).values()
    ours = {f"{row.timm}.{kind}" for row in table for kind in ("weight", "bias")}
    assert ours == set(model.state_dict())

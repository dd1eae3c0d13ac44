"""The literal table of names is what the architecture and the other projects say."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.names import Names, names, torchvision_keys

# Their positions in torchvision's and timm's `features`; column C is in neither.
D = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
FEATURES = {
    "A": (0, 3, 6, 8, 11, 13, 16, 18),
    "B": (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    "C": D,
    "D": D,
    "E": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    "tiny": D,
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_layer_has_its_literal_names(name: str) -> None:
    network = configuration(name)
    expected = [Names(f"features.{i}", f"features.{i}") for i in FEATURES[name]]
    expected += [
        Names("classifier.0", "pre_logits.fc1"),
        Names("classifier.3", "pre_logits.fc2"),
        Names("classifier.6", "head.fc"),
    ]
    assert list(names(network).values()) == expected
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

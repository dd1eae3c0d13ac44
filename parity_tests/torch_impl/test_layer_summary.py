"""PyTorch's layers are the architecture's, in PyTorch's layout and by torchvision's names."""

from __future__ import annotations

import pytest

from parity_tests.support.layer_summaries import assert_agree
from torch_impl.layer_summary import layer_summaries
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.names import names


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_layers_are_those_of_the_architecture(name: str) -> None:
    network = configuration(name)
    summaries = layer_summaries(network)
    assert_agree(network, summaries)
    table = names(network)
    for layer in summaries:
        if layer.layer in table:
            key = table[layer.layer].torchvision
            assert layer.name == key
            assert list(layer.weights) == [f"{key}.weight", f"{key}.bias"]
    found = {layer.layer: (layer.name, layer.kind) for layer in summaries}
    last_convolution = found["block1_conv2" if name != "A" else "block1_conv1"][0]
    pool = int(last_convolution.rpartition(".")[2]) + 2
    assert found["block1_pool"] == (f"features.{pool}", "MaxPool2d")
    assert found["block1_conv1"] == ("features.0", "Conv2d + ReLU")
    assert found["predictions"] == ("classifier.6", "Linear")

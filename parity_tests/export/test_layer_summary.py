"""The layers of an exported graph are the architecture's, whichever framework traced it."""

from __future__ import annotations

import pytest

from export.layer_summary import layer_summaries
from parity_tests.support.layer_summaries import assert_agree
from vgg16_spec.architecture import configuration


@pytest.mark.parametrize("name", ["tiny", "A", "C", "D", "E"])
def test_layers_are_those_of_the_architecture(name: str) -> None:
    network = configuration(name)
    summaries = layer_summaries(network, "torch")
    assert_agree(network, summaries)
    for layer in summaries:
        assert layer.name == layer.layer
        if layer.weights:
            assert list(layer.weights) == [f"{layer.layer}.weight", f"{layer.layer}.bias"]
    kinds = {layer.layer: layer.kind for layer in summaries}
    assert kinds["block1_conv1"] == "Conv + Relu"
    assert kinds["block5_pool"] == "MaxPool"
    assert kinds["flatten"] == "Flatten"
    assert kinds["fc2"] == "Gemm + Relu"
    assert kinds["predictions"] == "Gemm"


def test_both_frameworks_trace_the_same_layers() -> None:
    network = configuration("tiny")
    assert layer_summaries(network, "keras") == layer_summaries(network, "torch")

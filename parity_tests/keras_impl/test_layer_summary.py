"""Keras's layers are the architecture's, in Keras's layout and by Keras's names."""

from __future__ import annotations

import pytest

from keras_impl.layer_summary import layer_summaries
from parity_tests.support.layer_summaries import assert_agree
from vgg16_spec.architecture import CONFIGURATIONS, configuration


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_layers_are_those_of_the_architecture(name: str) -> None:
    network = configuration(name)
    summaries = layer_summaries(network)
    assert_agree(network, summaries, channels_last=True)
    assert all(layer.name == layer.layer for layer in summaries)
    kinds = {layer.layer: layer.kind for layer in summaries}
    assert kinds["block1_conv1"] == "Conv2D (relu)"
    assert kinds["block1_pool"] == "MaxPooling2D"
    assert kinds["flatten"] == "Flatten"
    assert kinds["predictions"] == "Dense (softmax)"

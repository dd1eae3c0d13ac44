"""Check a framework's summary of the layers against the architecture."""

from __future__ import annotations

import math

from vgg16_spec.architecture import Configuration
from vgg16_spec.layer_summary import LayerSummary
from vgg16_spec.layouts import keras_shape


def assert_agree(
    network: Configuration, summaries: list[LayerSummary], *, channels_last: bool = False
) -> None:
    """Order, output shapes, weights' shapes and parameters are those of the architecture."""
    assert [layer.layer for layer in summaries] == [layer.name for layer in network.layers]
    shapes, weights = network.output_shapes(), network.weight_shapes
    for layer in summaries:
        shape = shapes[layer.layer]
        # (C, H, W) -> (H, W, C)
        expected = (*shape[1:], shape[0]) if channels_last else shape
        assert layer.output == (None, *expected), layer.layer
        kernels = [weights[name] for name in weights if name.rpartition(".")[0] == layer.layer]
        found = list(layer.weights.values())
        assert found == ([keras_shape(s) for s in kernels] if channels_last else kernels)
        assert layer.parameters == network.parameters(layer.layer)
        assert layer.parameters == sum(map(math.prod, kernels))
    assert sum(layer.parameters for layer in summaries) == network.parameters()

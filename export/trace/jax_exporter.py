"""JAX to ONNX, by jax2onnx."""

from __future__ import annotations

import onnx_ir as ir

from export.constants import BATCH, INPUT, OPSET, Stateless, traced_shape
from vgg16_spec.architecture import Configuration


def convert(network: Stateless, configuration: Configuration) -> ir.Model:
    """The graph of a function of the images and the weights; see ``from_keras.trace``."""
    from jax2onnx import to_onnx

    weights = configuration.weight_shapes
    # Height and width as numbers: JAX cannot decide whether a free one is at least 32.
    images = (BATCH, *traced_shape(configuration)[1:])
    model: ir.Model = to_onnx(
        network,
        [images, *weights.values()],
        opset=OPSET,
        return_mode="ir",
        input_names=[INPUT, *weights],
    )
    return model

"""A convolution's kernel is OIHW in PyTorch and HWIO in Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from differences.harness import tiny
from differences.harness.experiment import Finding
from vgg16_spec.architecture import configuration
from vgg16_spec.layouts import keras_shape, oihw_to_hwio

TITLE = "Kernel layout"
RULE = (
    "Transpose kernels by named axes, (out, in, kH, kW) to (kH, kW, in, out), never reshape "
    "them, and then compare values: the shapes of a VGG cannot reveal a wrong order."
)

Move = Callable[[Any], Any]


def run() -> Finding:
    """Port the convolutions of ``tiny`` from PyTorch to Keras in four ways."""
    kernels = {
        layer: tiny.checkpoint()[f"{layer.name}.weight"]
        for layer in tiny.checkpoint().configuration.convolutions
    }
    model = tiny.keras_model()

    def ported(move: Move) -> float:
        for layer, kernel in kernels.items():
            model.get_layer(layer.name).kernel.assign(move(kernel))
        return tiny.keras_deviations(model)

    right = ported(oihw_to_hwio)
    # (out, in, kH, kW) read in the order of memory as if it were (kH, kW, in, out)
    reshaped = ported(lambda kernel: kernel.reshape(keras_shape(kernel.shape)))
    # (out, in, kH, kW) -> (kW, kH, in, out)
    mirrored = ported(lambda kernel: kernel.transpose(3, 2, 1, 0))
    refusals = sum(_refuses(model.get_layer(la.name).kernel, k) for la, k in kernels.items())
    exchanged = sum(la.in_channels == la.out_channels for la in configuration("D").convolutions)
    return Finding(
        {
            "convolutions that refuse PyTorch's kernel": (refusals, "of 13"),
            "error of the logits, kernels transposed": (right, tiny.UNIT),
            "error of the logits, kernels reshaped": (reshaped, tiny.UNIT),
            "error of the logits, height and width swapped": (mirrored, tiny.UNIT),
            "VGG16's convolutions with as many inputs as outputs": exchanged,
        },
        {
            "Keras refuses every convolution's kernel in PyTorch's layout.": (
                refusals == len(kernels)
            ),
            "Transposed, the kernels give the arbiter's logits up to rounding.": (
                right <= tiny.LIMIT
            ),
            "Reshaped, or with height and width swapped, the kernels are accepted, and the "
            "logits are off by more than a thousand times the limit.": (
                min(reshaped, mirrored) > tiny.FAR
            ),
        },
    )


def _refuses(variable: Any, values: Any) -> bool:
    try:
        variable.assign(values)
    except ValueError:
        return True
    return False

"""The precision in which a float64 model computes, on each backend."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from differences.harness.processes import ask
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution

TITLE: Final = "Float64 models"
RULE: Final = (
    "Take float64 references from PyTorch, from Keras on TensorFlow or from NumPy, never from "
    "Keras on PyTorch or JAX, and check that they are float64."
)

# Relative to the layer's largest value; float64 gives 1e-15, one float32 rounding 3e-8.
_FLOAT64: Final = 1e-12
_FLOAT32: Final = 1e-9


def run() -> Finding:
    """Run the small network in float64 in PyTorch and on two of Keras's backends."""
    asked = ask("arithmetic.float64", {"KERAS_BACKEND": "torch"})
    _, keras = frameworks()
    from torch_impl import VGG, run_with_taps

    model = VGG("tiny", weights=tiny.checkpoint()).double()
    pytorch = _errors(run_with_taps(model, tiny.images()))
    tensorflow = measure(keras)
    on_torch = asked()
    layers = tiny.checkpoint().configuration.weighted_layers
    convolutions = [layer.name for layer in layers if isinstance(layer, Convolution)]
    dense = [layer.name for layer in layers if layer.name not in convolutions]

    def worst(errors: dict[str, float], names: list[str]) -> float:
        return max(errors[name] for name in names)

    sides = (
        ("PyTorch", pytorch),
        ("Keras on TensorFlow", tensorflow["errors"]),
        ("Keras on PyTorch", on_torch["errors"]),
    )
    return Finding(
        {
            f"{name}, {kind}: largest error": (worst(errors, names), "of the largest value")
            for name, errors in sides
            for kind, names in (("convolutions", convolutions), ("dense layers", dense))
        },
        {
            "PyTorch's float64 model, and Keras's on TensorFlow, are within 1e-12 of the "
            "arbiter in every layer.": (
                max(*pytorch.values(), *tensorflow["errors"].values()) <= _FLOAT64
            ),
            "Keras's on PyTorch is as accurate in its convolutions, but off by more than 1e-9, "
            "which only float32 explains, in each of its dense layers.": (
                worst(on_torch["errors"], convolutions) <= _FLOAT64
                and min(on_torch["errors"][name] for name in dense) > _FLOAT32
            ),
            "The dtype of its outputs is float64 in every layer nevertheless.": (
                set(on_torch["types"].values()) == {"float64"}
            ),
            "keras.backend.result_type of two float64 is float64 on TensorFlow and float32 on "
            "PyTorch.": (tensorflow["promoted"], on_torch["promoted"]) == ("float64", "float32"),
        },
    )


def measure(keras: Any) -> dict[str, Any]:
    """The errors of Keras's float64 model by layer, its outputs' dtypes, and a promoted dtype."""
    from keras_impl import functional, load_checkpoint, run_with_taps

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = functional("tiny", classifier_activation=None, dropout=0)
        load_checkpoint(model, tiny.checkpoint())
        taps = run_with_taps(model, tiny.images())
        promoted = keras.backend.result_type("float64", "float64")
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
    types = {name: str(values.dtype) for name, values in taps.items()}
    return {"errors": _errors(taps), "types": types, "promoted": promoted}


def _errors(taps: dict[str, Any]) -> dict[str, float]:
    """Tap -> its largest error, relative to the arbiter's largest value."""
    right = reference.run_with_taps(tiny.checkpoint(), tiny.images())
    return {
        name: float(np.abs(values - right[name]).max() / np.abs(right[name]).max())
        for name, values in taps.items()
    }


if __name__ == "__main__":
    import keras

    print(json.dumps(measure(keras)))

"""Changes to the Keras model, and what each must leave in the canonical graph.

A backend is chosen when Keras is imported: ``python -m parity_tests.support.graphs.keras_changes``
traces on the one that ``KERAS_BACKEND`` names and prints the outcome of every change, or of those
that arguments name, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import keras
import pytest
from keras import layers, ops

import keras_impl.model
from export.trace import from_keras
from parity_tests.support.graphs.traced import CONV, KEPT, POOL, outcome, traced

# What changes the list of a model's layers, in place.
Change: TypeAlias = Callable[[list[Any]], None]


class Function(keras.layers.Layer):  # type: ignore[misc]
    """A layer of any function that keeps the shape."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Transposed(keras.layers.Dense):  # type: ignore[misc]
    """A dense layer that reads its square kernel the wrong way round."""

    def call(self, inputs: Any) -> Any:
        return ops.relu(ops.matmul(inputs, ops.transpose(self.kernel)) + self.bias)


def _place(model: list[Any], name: str) -> int:
    return [layer.name for layer in model].index(name)


def _after(name: str, make: Callable[[], Any]) -> Change:
    return lambda model: model.insert(_place(model, name) + 1, make())


def _instead(name: str, *makers: Callable[[], Any]) -> Change:
    def change(model: list[Any]) -> None:
        place = _place(model, name)
        model[place : place + 1] = [make() for make in makers]

    return change


def _function(function: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: Function(function)


def _convolution(name: str, **options: Any) -> Callable[[], Any]:
    usual = {"padding": "same", "activation": "relu", "data_format": "channels_last"}
    return lambda: layers.Conv2D(4, 3, name=name, **(usual | options))


def _stride(model: list[Any]) -> None:
    _instead("block1_conv2", _convolution("block1_conv2", strides=2))(model)
    _instead("block1_pool")(model)


def _twice(model: list[Any]) -> None:
    place = _place(model, "block1_conv2")
    model.insert(place, model[place])


CHANGES: Final[dict[str, Change]] = {
    "extra ReLU": _after("block1_conv1", layers.ReLU),
    "average pooling": _instead("block1_pool", lambda: layers.AveragePooling2D(2)),
    "stride instead of pooling": _stride,
    "dilation": _instead("block1_conv2", _convolution("block1_conv2", dilation_rate=2)),
    "padding on one side": _instead(
        "block1_conv2",
        lambda: layers.ZeroPadding2D(((0, 2), (1, 1))),
        _convolution("block1_conv2", padding="valid"),
    ),
    "no bias": _instead("block1_conv1", _convolution("block1_conv1", use_bias=False)),
    "no bias of a dense layer": _instead(
        "fc2", lambda: layers.Dense(32, activation="relu", use_bias=False, name="fc2")
    ),
    "layer applied twice": _twice,
    "another layer": _after("block1_conv1", _convolution("extra")),
    "no activation": _instead("block1_conv1", _convolution("block1_conv1", activation=None)),
    "another activation": _instead(
        "block1_conv1", _convolution("block1_conv1", activation="leaky_relu")
    ),
    "scale": _after("block1_conv1", _function(lambda x: x * 0.5)),
    "whole numbers": _after(
        "block1_conv1", _function(lambda x: ops.cast(ops.cast(x, "int32"), "float32"))
    ),
    "float16 in between": _after(
        "block1_conv1", _function(lambda x: ops.cast(ops.cast(x, "float16"), "float32"))
    ),
    "mirrored maps": _after("block1_conv1", _function(lambda x: ops.flip(x, 1))),
    "maps flattened as C, H, W": _after("block5_pool", lambda: layers.Permute((3, 1, 2))),
    "maps flattened as W, H, C": _after("block5_pool", lambda: layers.Permute((2, 1, 3))),
    "transposed weight": _instead("fc2", lambda: Transposed(32, name="fc2")),
    "softmax": _after("predictions", layers.Softmax),
}

# What the canonical graph must show, or a pattern for the refusal.
EXPECTED: Final[dict[str, list[str] | str]] = {
    "extra ReLU": ["+ block1_conv1: Relu"],
    "average pooling": [
        f"- block1_conv2: MaxPool {POOL}",
        f"+ block1_conv2: AveragePool {POOL}",
    ],
    "stride instead of pooling": [
        f"- block1_conv2: Conv {CONV}",
        "+ block1_conv2: Conv "
        + CONV.replace("(1, 1, 1, 1)", "(0, 0, 1, 1)").replace("strides=(1, 1)", "strides=(2, 2)"),
        f"- block1_conv2: MaxPool {POOL}",
    ],
    "dilation": [
        f"- block1_conv2: Conv {CONV}",
        "+ block1_conv2: Conv "
        + CONV.replace("dilations=(1, 1)", "dilations=(2, 2)").replace("1, 1, 1, 1", "2, 2, 2, 2"),
    ],
    "no bias": r"refused: the weights that the traced graph reads: missing: block1_conv1\.bias$",
    "no bias of a dense layer": r"refused: the weights .* reads: missing: fc2\.bias$",
    "layer applied twice": [f"+ block1_conv2: Conv {CONV}", "+ block1_conv2: Relu"],
    "another layer": r"refused: (?s:.*)the traced model has a weight extra\.weight that no",
    "no activation": ["- block1_conv1: Relu"],
    "padding on one side": KEPT,
    "another activation": KEPT,
    "scale": KEPT,
    "whole numbers": KEPT,
    "float16 in between": KEPT,
    "mirrored maps": KEPT,
    "maps flattened as C, H, W": KEPT,
    "maps flattened as W, H, C": KEPT,
    "transposed weight": KEPT,
    "softmax": KEPT,
}


@contextmanager
def changed(change: Change) -> Iterator[None]:
    """Have `keras_impl` build its models with other layers."""
    genuine = keras_impl.model._layers

    def layers_of(*arguments: Any) -> list[Any]:
        model = list(genuine(*arguments))
        change(model)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_impl.model, "_layers", layers_of)
        yield


def main() -> int:
    """Print what became of the changes."""
    unchanged = traced(from_keras.trace)
    found = {}
    for name in sys.argv[1:] or CHANGES:
        with changed(CHANGES[name]):
            found[name] = outcome(from_keras.trace, unchanged)
    print(json.dumps({"unchanged": unchanged, "changes": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""VGG16 at its own 224 pixels with an eighth of its channels: a thousand images take seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.harness import numbers
from differences.harness.frameworks import frameworks
from vgg16_parity.network.prediction import predict_logits
from vgg16_spec.architecture import Configuration, Convolution, Dense, Flatten, MaxPooling
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.preprocessing import normalise

Logits = NDArray[np.float32]
Pictures = NDArray[np.uint8] | NDArray[np.float32]

_COLUMN: Final = ("3-8 3-8", "3-16 3-16", "3-32 3-32 3-32", "3-64 3-64 3-64", "3-64 3-64 3-64")
_HIDDEN: Final = 512
# Rounding is much alike in all pictures, and the arbiter is slower than a framework.
_EVERY: Final = 6


@dataclass(frozen=True)
class Effect:
    """What another preparation of the same pictures does.

    Attributes:
        pictures: how many have other pixels.
        rms: of the change of the pixels, in levels of 255.
        spread: rms of the change of the logits over their standard deviation between pictures.
        roundings: the same over the predicted standard deviation of float32 rounding.
        answers: how many pictures have another top class.
    """

    pictures: int
    rms: float
    spread: float
    roundings: float
    answers: int


@cache
def checkpoint() -> Checkpoint:
    """The seeded weights: those of configuration D, but for the number of channels."""
    return generate(Configuration("narrow", _COLUMN, hidden_units=_HIDDEN))


@dataclass(frozen=True)
class Yardstick:
    """The pictures as the recipe prepares them, to compare others with.

    Attributes:
        pixels: (N, 224, 224, 3), 0 to 255.
        logits: (N, 1000).
        spread: the standard deviation of a logit between pictures, rms over the classes.
        rounding: the predicted standard deviation of float32 rounding, rms over the logits.
    """

    pixels: NDArray[np.uint8]
    logits: Logits
    spread: float
    rounding: float

    def of(self, pixels: NDArray[np.uint8]) -> Yardstick:
        """The same measures for other pixels."""
        return replace(self, pixels=pixels, logits=logits(pixels))

    def effect(self, pixels: Pictures) -> Effect:
        """What pixels (N, 224, 224, 3) instead of these do."""
        found = self.logits.copy()
        if changed := np.flatnonzero((pixels != self.pixels).any(axis=(1, 2, 3))).tolist():
            found[changed] = logits(pixels[changed])
        return self.compare(pixels, found)

    def compare(self, pixels: Pictures, logits: Logits) -> Effect:
        """The same where the logits are known."""
        apart = pixels.astype(np.float32) - self.pixels
        moved = numbers.rms(logits.astype(np.float64) - self.logits)
        return Effect(
            int(np.any(apart != 0, axis=(1, 2, 3)).sum()),
            numbers.rms(apart),
            moved / self.spread,
            moved / self.rounding,
            int((logits.argmax(axis=1) != self.logits.argmax(axis=1)).sum()),
        )


def yardstick(pixels: NDArray[np.uint8]) -> Yardstick:
    """Measure the pictures that others are compared with."""
    found = logits(pixels)
    _, deviation = predict_logits(checkpoint(), normalise(pixels[::_EVERY], checkpoint().recipe))
    spread = numbers.rms(found - found.mean(axis=0))
    return Yardstick(pixels, found, spread, numbers.rms(deviation))


def logits(pixels: Pictures, precision: str = "float32", batch: int = 0) -> Logits:
    """PyTorch's logits of pixels (N, 224, 224, 3), 0 to 255; all in one batch unless given."""
    torch, _ = frameworks()
    functional = torch.nn.functional
    kind = getattr(torch, precision)

    def run(values: Any) -> Any:
        for layer in checkpoint().configuration.layers:
            match layer:
                case Convolution():
                    weight, bias = (each.to(kind) for each in _torch_weights(layer.name))
                    values = functional.conv2d(values, weight, bias, padding=layer.padding).relu()
                case MaxPooling():
                    values = functional.max_pool2d(values, 2)
                case Flatten():
                    values = values.flatten(1)
                case Dense():
                    weight, bias = (each.to(kind) for each in _torch_weights(layer.name))
                    values = functional.linear(values, weight, bias)
                    values = values.relu() if layer.relu else values
        return values.float()

    images = torch.from_numpy(normalise(pixels, checkpoint().recipe)).to(kind)
    with torch.inference_mode():
        found: Logits = torch.cat(
            [run(part) for part in images.split(batch or len(images))]
        ).numpy()
    return found


def tensorflow_logits(pixels: Pictures) -> Logits:
    """TensorFlow's logits of the same, computed channels last."""
    frameworks()
    import tensorflow as tf

    values = tf.constant(normalise(pixels, checkpoint().recipe, layout="nhwc"))
    for layer in checkpoint().configuration.layers:
        match layer:
            case Convolution():
                weight, bias = _weights(layer.name)
                kernel = weight.transpose(2, 3, 1, 0)  # (out, in, kH, kW) -> (kH, kW, in, out)
                values = tf.nn.relu(tf.nn.conv2d(values, kernel, 1, "SAME") + bias)
            case MaxPooling():
                values = tf.nn.max_pool2d(values, 2, 2, "VALID")
            case Flatten():
                # (N, H, W, C) -> (N, C, H, W), the order of fc1's inputs
                values = tf.reshape(tf.transpose(values, (0, 3, 1, 2)), (len(pixels), -1))
            case Dense():
                weight, bias = _weights(layer.name)
                values = tf.linalg.matmul(values, weight, transpose_b=True) + bias
                values = tf.nn.relu(values) if layer.relu else values
    return np.asarray(values)


def _torch_weights(layer: str) -> tuple[Any, Any]:
    torch, _ = frameworks()
    weight, bias = (torch.from_numpy(each) for each in _weights(layer))
    return weight, bias


@cache
def _weights(layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    weight, bias = (checkpoint()[f"{layer}.{part}"] for part in ("weight", "bias"))
    return weight, bias

"""The small network that experiments run, and how far a port of it is from the float64 arbiter."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import keras_impl
import torch_impl
from differences.harness.frameworks import frameworks
from onnx_arbiter.limits import LIMITS
from vgg16_parity.network.prediction import predict_logits
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, preprocess, read_image
from vgg16_spec.layouts import contiguous, nchw_to_nhwc

# The most predicted standard deviations that the error of a right port may be.
LIMIT: Final = LIMITS.deviations.limit
# A port as wrong as this is wrong, whatever rounds: the limit is three orders of magnitude below.
FAR: Final = 1000 * LIMIT
UNIT: Final = "predicted standard deviations"


def checkpoint() -> Checkpoint:
    """The seeded weights of the configuration ``tiny``."""
    return seeded_checkpoint("tiny")


@cache
def images() -> NDArray[np.float32]:
    """The project's photographs, prepared for it: (N, 3, 64, 64)."""
    recipe, size = RECIPES[checkpoint().metadata.recipe], checkpoint().configuration.input_size
    pictures = [read_image(photograph.path) for photograph in PHOTOGRAPHS]
    return np.concatenate([preprocess(picture, recipe, size=size) for picture in pictures])


def torch_model() -> Any:
    """The network in PyTorch with the seeded weights, in evaluation mode."""
    frameworks()
    return torch_impl.VGG("tiny", weights=checkpoint()).eval()


def keras_model() -> Any:
    """The network in Keras with the seeded weights; it gives logits."""
    frameworks()
    return keras_impl.functional("tiny", classifier_activation=None, weights=checkpoint())


def keras_deviations(model: Any) -> float:
    """As `deviations`, of what a Keras model makes of the photographs."""
    return deviations(np.asarray(model(contiguous(nchw_to_nhwc(images())), training=False)))


def deviations(logits: NDArray[np.floating[Any]], weights: Checkpoint | None = None) -> float:
    """The largest error of any logit, in predicted standard deviations of float32 rounding.

    Args:
        logits: (N, 1000), what a port makes of `images`.
        weights: what the arbiter runs, unless it is `checkpoint`.
    """
    right, deviation = _predicted() if weights is None else predict_logits(weights, images())
    return float(np.max(np.abs(logits - right) / deviation))


@cache
def _predicted() -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    return predict_logits(checkpoint(), images())

"""The small network that experiments run, and the error of a port of it."""

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
from vgg16_spec.images.preprocessing import preprocess, read_image
from vgg16_spec.layouts import contiguous, nchw_to_nhwc

# A correct port's largest error, in predicted standard deviations.
LIMIT: Final = LIMITS.deviations.limit
# An error that no rounding explains: a thousand times the limit.
FAR: Final = 1000 * LIMIT
UNIT: Final = "predicted standard deviations"


def checkpoint() -> Checkpoint:
    """The seeded weights of the configuration ``tiny``."""
    return seeded_checkpoint("tiny")


@cache
def images() -> NDArray[np.float32]:
    """The project's photographs, preprocessed: (N, 3, 64, 64)."""
    recipe, size = checkpoint().recipe, checkpoint().configuration.input_size
    pictures = [read_image(photograph.path) for photograph in PHOTOGRAPHS]
    return np.concatenate([preprocess(picture, recipe, size=size) for picture in pictures])


def torch_model() -> Any:
    """The network in PyTorch with the seeded weights, in evaluation mode."""
    frameworks()
    return torch_impl.VGG("tiny", weights=checkpoint()).eval()


def keras_model() -> Any:
    """The network in Keras with the seeded weights, returning logits."""
    frameworks()
    return keras_impl.functional("tiny", classifier_activation=None, weights=checkpoint())


def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch's logits (N, 1000) of preprocessed images (N, 3, 64, 64)."""
    torch, _ = frameworks()
    with torch.inference_mode():
        found: NDArray[np.float32] = torch_model()(torch.tensor(images)).numpy()
    return found


def keras_deviations(model: Any) -> float:
    """The `deviations` of a Keras model's logits of the photographs."""
    return deviations(np.asarray(model(contiguous(nchw_to_nhwc(images())), training=False)))


def deviations(logits: NDArray[np.floating[Any]], weights: Checkpoint | None = None) -> float:
    """The largest error of any logit, in predicted standard deviations of float32 rounding.

    Args:
        logits: (N, 1000), a port's output for `images`.
        weights: the arbiter's, if not that of `checkpoint`.
    """
    right, deviation = _predicted() if weights is None else predict_logits(weights, images())
    return float(np.max(np.abs(logits - right) / deviation))


@cache
def _predicted() -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    return predict_logits(checkpoint(), images())

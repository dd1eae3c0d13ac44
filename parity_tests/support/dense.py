"""The network applied densely, as several test files judge it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.network import reference
from vgg16_parity.network.dense import expect_dense_logits
from vgg16_spec.checkpoint import Checkpoint

# How much larger than the tiny network's own input images are, (height, width): none is a multiple
# of 32, and they have 1, 3, 10 and 12 positions.
LARGER: Final = ((5, 13), (5, 77), (70, 165), (122, 101))


def noise_of_size(
    checkpoint: Checkpoint, larger: tuple[int, int], images: int = 1
) -> NDArray[np.float32]:
    """Noise as images (N, 3, H, W), so much larger than the network's own."""
    height, width = (checkpoint.configuration.input_size + more for more in larger)
    generator = np.random.default_rng([height, width, images])
    return generator.standard_normal((images, 3, height, width), np.float32)


def judge_dense(
    values: NDArray[Any], checkpoint: Checkpoint, images: NDArray[Any], mode: str = "float32"
) -> Verdict:
    """How far dense logits are from the arbiter's."""
    logits, deviation, fewest = expect_dense_logits(checkpoint, images, MODES[mode])
    return compare_with_arbiter(values, logits, deviation, independent=fewest.__getitem__)


def assert_dense_holds(
    values: NDArray[Any], checkpoint: Checkpoint, images: NDArray[Any], mode: str = "float32"
) -> None:
    """Whether dense logits are within the predicted error of the arbiter's."""
    verdict = judge_dense(values, checkpoint, images, mode)
    assert verdict.passed, (images.shape, verdict.reason)


def scores_of_windows(checkpoint: Checkpoint, images: NDArray[Any]) -> NDArray[np.float64]:
    """The class scores at each position, window after window: (N, K, H', W'), in float64.

    Each window on the last maps is flattened and goes through the dense layers as matrices.
    """
    *_, last = reference.walk(checkpoint.without_top(), images)
    _, height, width = checkpoint.configuration.feature_shape
    rows = last.values.shape[2] - height + 1
    columns = last.values.shape[3] - width + 1
    scores = np.empty((len(images), checkpoint.configuration.classes, rows, columns))
    for top in range(rows):
        for left in range(columns):
            window = last.values[:, :, top : top + height, left : left + width]
            scores[:, :, top, left] = _classified(checkpoint, window.reshape(len(images), -1))
    return scores


def _classified(checkpoint: Checkpoint, values: NDArray[np.float64]) -> NDArray[np.float64]:
    for layer in ("fc1", "fc2", "predictions"):
        weight = checkpoint[f"{layer}.weight"].astype(np.float64)
        values = values @ weight.T + checkpoint[f"{layer}.bias"]
        if layer != "predictions":
            values = np.maximum(values, 0)
    return values

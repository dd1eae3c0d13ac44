"""The small network's answers, and how far one changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny


def logits(torch: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 1000) of preprocessed images (N, 3, 64, 64), by PyTorch."""
    from torch_impl import VGG

    model = VGG("tiny", weights=tiny.checkpoint()).eval()
    with torch.inference_mode():
        found: NDArray[np.float32] = model(torch.tensor(images)).numpy()
    return found


def change(right: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """The root mean square of the change over that of the right values, in per cent."""
    return 100 * float(np.sqrt(np.mean(np.square(other - right)) / np.mean(np.square(right))))


def rms(values: NDArray[Any]) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64)))))

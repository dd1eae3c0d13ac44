"""What logits say: the likeliest classes and their probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def top(logits: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The classes of the largest logits, the largest first: (images, classes) -> (images, count).

    Of equal logits the lower class comes first.
    """
    return np.argsort(-logits, axis=1, kind="stable")[:, :count]


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of logits, (images, classes)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities

"""Checkpoints with other values, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from vgg16_spec.checkpoint import Checkpoint


def with_value(
    checkpoint: Checkpoint, name: str, place: int, value: float | np.floating[Any]
) -> Checkpoint:
    """The checkpoint with another value at a place of a tensor, in the order of its axes."""
    values = np.array(checkpoint[name])
    values.flat[place] = value
    return checkpoint.with_tensors({name: values})

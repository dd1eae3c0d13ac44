"""What several test files and the Keras checks share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vgg16.checkpoint import Checkpoint

# A checkpoint -> the project's photographs as its network's input, (N, 3, H, W).
Batch: TypeAlias = Callable[[Checkpoint], NDArray[np.float32]]
# What builds a model, and a check of one.
Builder: TypeAlias = Callable[..., Any]
Check: TypeAlias = Callable[[Checkpoint], None]
# One of the writers of `vgg16.atomic`.
Write: TypeAlias = Callable[[str | Path], AbstractContextManager[Path]]


class Outcome(NamedTuple):
    """What a command left: its exit status and both of its streams."""

    status: int
    out: str
    err: str


# `vgg16` with arguments.
Command: TypeAlias = Callable[..., Outcome]


def same(ours: Checkpoint, theirs: Checkpoint) -> bool:
    """Whether two checkpoints hold the same tensors, bit for bit."""
    return list(ours) == list(theirs) and all(
        ours[name].tobytes() == theirs[name].tobytes() for name in ours
    )

"""What several test files and the Keras checks share."""

from __future__ import annotations

from vgg16.checkpoint import Checkpoint


def same(ours: Checkpoint, theirs: Checkpoint) -> bool:
    """Whether two checkpoints hold the same tensors, bit for bit."""
    return list(ours) == list(theirs) and all(
        ours[name].tobytes() == theirs[name].tobytes() for name in ours
    )

"""Whether two checkpoints hold the same values, tensor by tensor, whatever files they are in."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint

Verdict: TypeAlias = Literal["equal", "differs", "missing"]
ABSENT: Final = ""


class Row(NamedTuple):
    """One tensor on both sides: its shape and the sha256 of its values in canonical layout.

    Where a side lacks the tensor its digest is ``ABSENT``, and the shape is the other's.
    """

    tensor: str
    shape: Shape
    ours: str
    theirs: str

    @property
    def verdict(self) -> Verdict:
        """Whether both sides have the tensor, and in the same bits."""
        if ABSENT in (self.ours, self.theirs):
            return "missing"
        return "equal" if self.ours == self.theirs else "differs"


def digests(checkpoint: Checkpoint) -> dict[str, str]:
    """Tensor name -> sha256 of its values in canonical layout, in hexadecimal."""
    return {name: checkpoint.tensor(name).digest() for name in checkpoint}


def compare(ours: Checkpoint, theirs: Checkpoint) -> list[Row]:
    """A row for each tensor that either has; of another shape, it differs."""
    left, right = digests(ours), digests(theirs)
    shapes = theirs.configuration.weight_shapes | ours.configuration.weight_shapes
    names = list(dict.fromkeys([*ours, *theirs]))
    return [
        Row(name, shapes[name], left.get(name, ABSENT), right.get(name, ABSENT)) for name in names
    ]

"""Tensors that are read when asked for, whole or block by block."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array, blocks, contiguous

FLOAT32: Final = np.dtype("<f4")

# Values are looked at this many at a time: what NumPy makes of them stays small beside a block.
_LOOK: Final = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """A tensor that is read when asked for: its shape and type are known before.

    Attributes:
        shape: in canonical layout.
        dtype: by NumPy's name.
        view: gives an array that has the tensor's values in canonical order, and its shape up to
            axes that are split or merged: fc1 may be (out, C, H, W) instead of (out, C * H * W). A
            view into a mapped file, whatever its strides, costs no memory; any other array is held
            whole.
    """

    shape: Shape
    dtype: str
    view: Callable[[], Array]

    @classmethod
    def of(cls, array: NDArray[np.float32]) -> Tensor:
        """The tensor of an array that is in memory already."""
        return cls(array.shape, str(array.dtype), lambda: array)

    def read(self) -> NDArray[np.float32]:
        """The whole tensor, in its canonical shape; a view where it can be one."""
        values = self.view()
        return values if values.shape == self.shape else contiguous(values).reshape(self.shape)

    def digest(self) -> str:
        """The sha256 of the values in canonical layout, in hexadecimal."""
        sha256 = hashlib.sha256()
        for block in blocks(self.view()):
            sha256.update(block.astype(FLOAT32, copy=False).data)
        return sha256.hexdigest()


def is_finite(values: Array) -> bool:
    """Whether no value of a contiguous array is NaN or infinite."""
    flat = values.reshape(-1)
    return all(np.isfinite(flat[i : i + _LOOK]).all() for i in range(0, flat.size, _LOOK))


def mapped_view(mapped: Array, start: int, shape: Shape) -> Array:
    """The float32 array of a shape that begins at a byte of a mapped file."""
    end = start + FLOAT32.itemsize * math.prod(shape)
    return mapped[start:end].view(FLOAT32).reshape(shape)

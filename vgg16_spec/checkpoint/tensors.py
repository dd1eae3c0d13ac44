"""Tensors that are read when asked for, whole or block by block."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import BLOCK_BYTES, Array, blocks, contiguous

FLOAT32: Final = np.dtype("<f4")
# NumPy has no such type: the upper halves of float32 values, under a name that travels with them.
BFLOAT16: Final = np.dtype([("bfloat16", "<u2")])
# What `as_float32` takes, by the name that a tensor's dtype has.
FLOATS: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "float32": FLOAT32,
        "float16": np.dtype("<f2"),
        "bfloat16": BFLOAT16,
        "float64": np.dtype("<f8"),
    }
)

# Values are looked at this many at a time: what NumPy makes of them stays small beside a block.
CHUNK_VALUES: Final = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """A tensor that is read when asked for: its shape and type are known before.

    Attributes:
        shape: in canonical layout.
        dtype: by NumPy's name. A checkpoint's is float32, also where the file's is another of
            ``FLOATS``: a view then has the file's, and its values become float32 block by block.
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
        values = as_float32(self.view())
        return values if values.shape == self.shape else contiguous(values).reshape(self.shape)

    def transformed(self, make: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Tensor:
        """The tensor of what a function makes of the values, when they are read."""
        return Tensor(self.shape, "float32", lambda: make(self.read()))

    def digest(self, block_bytes: int = BLOCK_BYTES) -> str:
        """The sha256 of the values in canonical layout, in hexadecimal."""
        sha256 = hashlib.sha256()
        for block in blocks(self.view(), block_bytes):
            for part in float32_parts(block):
                sha256.update(part.data)
        return sha256.hexdigest()


def as_float32(values: Array) -> Array:
    """The values as float32: the same array where they are; float64 is rounded to nearest, even."""
    if values.dtype.names:  # bfloat16, in either order of bytes
        return (values["bfloat16"].astype("<u4") << 16).view(FLOAT32)
    with np.errstate(over="ignore"):  # infinity is refused by whoever looks at the values
        return values.astype(FLOAT32, copy=False)


def float32_parts(block: Array, chunk_values: int = CHUNK_VALUES) -> Iterator[Array]:
    """A flat block as float32: as it is, or converted a little at a time."""
    step = block.size if block.dtype == FLOAT32 else chunk_values
    for start in range(0, block.size, max(step, 1)):
        yield as_float32(block[start : start + step])


def is_finite(values: Array, chunk_values: int = CHUNK_VALUES) -> bool:
    """Whether no value of a contiguous array is NaN or infinite."""
    flat = values.reshape(-1)
    return all(
        np.isfinite(flat[i : i + chunk_values]).all() for i in range(0, flat.size, chunk_values)
    )


def mapped_view(mapped: Array, start: int, shape: Shape, dtype: np.dtype[Any] = FLOAT32) -> Array:
    """The array of a shape that begins at a byte of a mapped file."""
    end = start + dtype.itemsize * math.prod(shape)
    return mapped[start:end].view(dtype).reshape(shape)

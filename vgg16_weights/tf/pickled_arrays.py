"""NumPy's arrays in a pickle that is read as data, so that no code of NumPy's is called by it.

Nothing is allocated because the file claims a size: large values stay views of the mapped file.
Source of the states: ``array_reduce`` and ``arraydescr_reduce`` in NumPy's ``multiarray``.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal

import numpy as np

from vgg16_spec.blocks import Array
from vgg16_weights import pickles
from vgg16_weights.pickles import Record

# A VGG of 19 layers takes 3,000 reads; an instruction of one byte may make an object of 64.
_MOST_READS: Final = 1 << 17
# Names and instructions are copied; the values of arrays are not.
_LONGEST_COPY: Final = 1 << 12
_LONGEST_LINE: Final = 256
_DTYPE: Final = re.compile(r"[fiu][1248]|b1|O8?")


def load(mapped: memoryview) -> Any:
    """What is pickled: dictionaries, lists, tuples, texts, numbers and records.

    Raises ``ValueError`` for a file that is damaged.
    """
    return pickles.load(_Mapped(mapped), _outside)


def array(record: Record) -> Array:
    """The array that a call would make, a view of the mapped file where its values lie there.

    Raises ``ValueError`` for a call of anything else, and where the values are not those of the
    shape and type.
    """
    # NumPy 2 moved its core.
    match record.name.replace("numpy._core.", "numpy.core.", 1), record.args, record.state:
        case (
            "numpy.core.multiarray._reconstruct",
            (Record(name="numpy.ndarray"), *_),
            (*_, shape, dtype, int() as is_fortran, data),
        ):
            return _array(shape, _dtype(dtype), data, "F" if is_fortran else "C")
        case (
            "numpy.core.numeric._frombuffer",
            (data, dtype, shape, "C" | "F" as order),
            None,
        ):
            return _array(shape, _dtype(dtype), data, order)
    raise ValueError(f"it refers to {record.name}, not as arrays do"[:100])


def text(value: object) -> str:
    """A name, which may be bytes. Raises ``ValueError`` for anything else."""
    found = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(found, str) or not found.isprintable():
        raise ValueError("it has a name that is not text")
    return found


class _Mapped:
    """A mapped file as it is read; long pieces are views."""

    def __init__(self, mapped: memoryview) -> None:
        self._mapped, self._position, self._reads = mapped, 0, 0

    def read(self, size: int, /) -> Any:
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ValueError("it has more instructions than the weights of a VGG take")
        end = self._position + size
        if end > len(self._mapped):
            raise ValueError("it ends too soon")
        piece, self._position = self._mapped[self._position : end], end
        return bytes(piece) if size <= _LONGEST_COPY else piece

    def readline(self) -> bytes:
        line = bytes(self._mapped[self._position : self._position + _LONGEST_LINE])
        end = line.find(b"\n") + 1
        if not end:
            raise ValueError("it has a name that is too long")
        return bytes(self.read(end))


def _outside(_: object) -> object:
    raise ValueError("it refers to what lies outside of it")


def _dtype(record: object) -> np.dtype[Any]:
    match record:
        case Record(
            name="numpy.dtype", args=(code, *_), state=(_, "<" | ">" | "|" | "=" as order, *_)
        ):
            if not _DTYPE.fullmatch(text(code)):
                raise ValueError(f"it has an array of type {text(code)!r}"[:100])
            return np.dtype(text(code)).newbyteorder("<" if order == "=" else order)
    raise ValueError("it has an array of a type that is not understood")


def _array(shape: object, dtype: np.dtype[Any], data: object, order: Literal["C", "F"]) -> Array:
    sizes = pickles.sizes(shape)
    if sizes is None:
        raise ValueError("it has an array of a shape that is not understood")
    count, values = math.prod(sizes), pickles.raw(data)
    flat: Array
    if dtype.hasobject and isinstance(data, list) and len(data) == count:
        flat = np.fromiter(data, object, count)
    elif not dtype.hasobject and values is not None and len(values) == count * dtype.itemsize:
        flat = np.frombuffer(values, dtype)
    else:
        raise ValueError(f"its array of shape {sizes} is incomplete"[:200])
    return flat.reshape(sizes, order=order)

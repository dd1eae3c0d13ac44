"""MATLAB's MAT-files of version 5 to 7, as far as cells, structures, texts and numbers go.

SciPy's ``loadmat`` reads them whole into memory, and a file that is damaged in the right place, or
nested deeply, crashes its process. Here an array is found by its place, and its values stay in the
mapped file; nothing is read that is not asked for. Source: "MAT-File Format", The MathWorks.
"""

from __future__ import annotations

import math
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array

SIGNATURE: Final = b"MATLAB 5.0 MAT-file"
SIGNATURE_OF_HDF5: Final = b"MATLAB 7.3 MAT-file"
CELL, STRUCTURE, TEXT, DOUBLE, SINGLE = 1, 2, 4, 6, 7

_HEADER: Final = 128
_LITTLE_ENDIAN: Final = b"IM"
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS: Final = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 7: "<f4", 9: "<f8"}
_ENCODINGS: Final = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
# Twice what the largest configuration takes; a crafted file may inflate to a thousand times itself.
_MOST_BYTES: Final = 1 << 30
_PIECE: Final = 1 << 20
_MOST_CELLS: Final = 10_000
_MOST_AXES: Final = 32
_LONGEST_TEXT: Final = 4096


@dataclass(frozen=True)
class Element:
    """A tagged piece of a file: its type, its first byte and the byte after its content."""

    data: Array
    kind: int
    start: int
    end: int

    def content(self) -> bytes:
        """The bytes of a small element."""
        if self.end - self.start > _LONGEST_TEXT * 64:
            raise ValueError(f"a name of {self.end - self.start} bytes")
        return bytes(self.data[self.start : self.end].tobytes())


@dataclass(frozen=True)
class Matrix:
    """An array of any class; ``parts`` are the elements after its name."""

    kind: int
    shape: Shape
    name: str
    complex: bool
    data: Array
    parts: int
    end: int

    def cells(self) -> list[Matrix]:
        """The arrays in a cell, in MATLAB's order. Raises ``ValueError`` for another class."""
        if self.kind != CELL:
            raise ValueError(f"{self.name or 'an array'} is no cell")
        return self._matrices(self.parts, math.prod(self.shape))

    def fields(self) -> dict[str, Matrix]:
        """The fields of a structure. Raises ``ValueError`` for another class, or for several."""
        if self.kind != STRUCTURE or math.prod(self.shape) != 1:
            raise ValueError(f"{self.name or 'an array'} is no single structure")
        length, names, *_ = self._elements(2)
        size = int.from_bytes(length.content(), "little")
        text = names.content()
        if not 0 < size <= _LONGEST_TEXT:
            raise ValueError(f"the names of fields have {size} bytes")
        keys = [
            text[start : start + size].partition(b"\0")[0].decode("latin-1")
            for start in range(0, len(text), size)
        ]
        return dict(zip(keys, self._matrices(_after(names), len(keys)), strict=True))

    def text(self) -> str:
        """The characters of a text in one row. Raises ``ValueError`` for another class."""
        if self.kind != TEXT:
            raise ValueError(f"{self.name or 'an array'} is no text")
        (characters,) = self._elements(1)
        if characters.kind not in _ENCODINGS:
            raise ValueError(f"a text of type {characters.kind}")
        return characters.content().decode(_ENCODINGS[characters.kind])

    def dtype(self) -> str:
        """NumPy's name of the numbers' type; that of the class for anything else."""
        names = {DOUBLE: "float64", SINGLE: "float32"}
        name = names.get(self.kind, f"MATLAB's class {self.kind}")
        return f"complex {name}" if self.complex else name

    def check(self) -> None:
        """Raise ``ValueError`` unless the numbers that the shape asks for are there."""
        self._numbers()

    def reversed(self) -> Array:
        """The numbers with the axes in reverse order, which is NumPy's: a view of the mapped file.

        Integers stored for numbers of floating point, as MATLAB does where it loses nothing, are
        copied into these.
        """
        values = self._numbers()
        if self.kind == SINGLE and values.dtype != np.float32:
            values = values.astype(np.float32)
        return values.reshape(self.shape[::-1])

    def _numbers(self) -> Array:
        (numbers,) = self._elements(1)
        if numbers.kind not in _NUMBERS:
            raise ValueError(f"{self.name or 'an array'} has numbers of type {numbers.kind}")
        dtype = np.dtype(_NUMBERS[numbers.kind])
        if numbers.end - numbers.start != dtype.itemsize * math.prod(self.shape):
            raise ValueError(f"an array of {self.shape} has {numbers.end - numbers.start} bytes")
        return self.data[numbers.start : numbers.end].view(dtype)

    def _elements(self, count: int) -> list[Element]:
        found: list[Element] = []
        position = self.parts
        for _ in range(count):
            found.append(_element(self.data, position, self.end))
            position = _after(found[-1])
        return found

    def _matrices(self, position: int, count: int) -> list[Matrix]:
        if count > _MOST_CELLS:
            raise ValueError(f"a cell of {count} arrays")
        found: list[Matrix] = []
        for _ in range(count):
            element = _element(self.data, position, self.end)
            found.append(_matrix(element))
            position = _after(element)
        return found


def variables(path: Path) -> Iterator[Matrix]:
    """A file's variables in order, with their names; values stay where they are.

    A compressed one, as MATLAB writes them since version 7, is inflated into a temporary file that
    has no name and ends with the last view of it: no memory, but as much room as it takes.

    Raises ``ValueError`` for a damaged file, and for one that inflates to more than 1 GiB.
    """
    data = np.memmap(path, np.uint8, mode="r")
    if len(data) < _HEADER or data[_HEADER - 2 : _HEADER].tobytes() != _LITTLE_ENDIAN:
        raise ValueError("it is not in little-endian order")
    position, left = _HEADER, _MOST_BYTES
    for _ in range(_MOST_CELLS):
        if position >= len(data):
            return
        element = _element(data, position, len(data))
        if element.kind == _COMPRESSED:
            position = element.end  # the only kind without padding
            inflated = _inflated(element, left)
            left -= len(inflated)
            element = _element(inflated, 0, len(inflated))
        else:
            position = _after(element)
        yield _matrix(element)
    raise ValueError(f"more than {_MOST_CELLS} variables")


def _inflated(element: Element, limit: int) -> Array:
    stream = zlib.decompressobj()
    size = 0
    with tempfile.TemporaryFile() as file:
        for start in range(element.start, element.end, _PIECE):
            waiting = element.data[start : min(start + _PIECE, element.end)].tobytes()
            while waiting:
                piece = stream.decompress(waiting, _PIECE)
                size += len(piece)
                if size > limit:
                    raise ValueError(f"it inflates to more than {_MOST_BYTES} bytes")
                file.write(piece)
                waiting = stream.unconsumed_tail
        if not stream.eof:
            raise ValueError("a compressed variable is not all there")
        file.flush()
        return np.memmap(file, np.uint8, mode="r", shape=(size,))


def _matrix(element: Element) -> Matrix:
    """The array in an element; an empty element is an empty array."""
    if element.kind != _MATRIX:
        raise ValueError(f"an element of type {element.kind} where an array should be")
    if element.start == element.end:
        return Matrix(DOUBLE, (0, 0), "", False, element.data, element.start, element.end)
    flags = _element(element.data, element.start, element.end)
    sizes = _element(element.data, _after(flags), element.end)
    name = _element(element.data, _after(sizes), element.end)
    if flags.end - flags.start != 8 or not 8 <= sizes.end - sizes.start <= 4 * _MOST_AXES:
        raise ValueError("an array without its class or its shape")
    kind, bits = flags.content()[:2]
    shape = tuple(size for (size,) in struct.iter_unpack("<i", sizes.content()))
    if min(shape) < 0:
        raise ValueError(f"an array of shape {shape}")
    text = name.content().decode("latin-1")
    return Matrix(kind, shape, text, bool(bits & 8), element.data, _after(name), element.end)


def _element(data: Array, position: int, end: int) -> Element:
    """The element at a byte; small ones have their content within their tag."""
    if position + 8 > end:
        raise ValueError(f"an element is missing at byte {position}")
    kind, size = struct.unpack("<II", data[position : position + 8].tobytes())
    start = position + 8
    if kind >> 16:
        kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        if size > 4:
            raise ValueError(f"the small element at byte {position} has {size} bytes")
    if start + size > end:
        raise ValueError(f"the element at byte {position} is not all there")
    return Element(data, kind, start, start + size)


def _after(element: Element) -> int:
    """Where the next element begins: at a multiple of eight bytes from the file's beginning."""
    return element.end + -element.end % 8

"""Damaged copies of a valid file, each made again from its number alone."""

from __future__ import annotations

import io
import pickle
import struct
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import h5py
import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.layouts import canonical_to_keras
from vgg16_weights.contents import FIRST_KERNEL, swap_rgb_bgr

Array = NDArray[Any]
Arrange = Callable[[str, Array, Checkpoint], Array]

# Lengths, offsets and counts that readers stumble over, as 32 and 64 bits.
_NUMBERS: Final = (0, 1, -1, 1 << 31, (1 << 31) - 1, 1 << 30, 1 << 62, (1 << 63) - 1, 1 << 40, 4096)
_BYTES: Final = (0x00, 0x7F, 0x80, 0xFF)
_MOST_CHANGES: Final = 4
_LONGEST: Final = 64


class Place(NamedTuple):
    """Where a tensor's values lie in a file, and what brings canonical values into that order."""

    start: int
    end: int
    arrange: Arrange


def _canonical(_: str, values: Array, __: Checkpoint) -> Array:
    return values


def _keras(name: str, values: Array, checkpoint: Checkpoint) -> Array:
    return canonical_to_keras(name, values, checkpoint.configuration.feature_shape)


def _keras_rgb(name: str, values: Array, checkpoint: Checkpoint) -> Array:
    return _keras(name, swap_rgb_bgr(values), checkpoint)


def _theano(name: str, values: Array, checkpoint: Checkpoint) -> Array:
    """What Keras holds on Theano: kernels turned by half a turn."""
    return _keras(name, values[..., ::-1, ::-1] if values.ndim == 4 else values, checkpoint)


def _matlab(name: str, values: Array, checkpoint: Checkpoint) -> Array:
    """(out, in, height, width) -> (out, in, width, height), which MATLAB stores backwards."""
    if name == "fc1.weight":
        values = values.reshape(-1, *checkpoint.configuration.feature_shape)
    if values.ndim == 4:
        values = values.transpose(0, 1, 3, 2)
    return swap_rgb_bgr(values) if name == FIRST_KERNEL else values


_ARRANGEMENTS: Final = (_canonical, _keras, _theano, _keras_rgb, _matlab)


def stored(values: Array) -> bytes:
    """The bytes of an array in the order of its axes."""
    return np.ascontiguousarray(values, "<f4").tobytes()


def places(whole: bytes, checkpoint: Checkpoint) -> dict[str, Place]:
    """Where each tensor's values are in a file; none of those that are compressed."""
    found: dict[str, Place] = {}
    for name in checkpoint:
        for arrange in _ARRANGEMENTS:
            if arrange is _keras_rgb and name != FIRST_KERNEL:
                continue
            content = stored(arrange(name, checkpoint[name], checkpoint))
            if (start := whole.find(content)) >= 0:
                found[name] = Place(start, start + len(content), arrange)
                break
    return found


def structure(whole: bytes, where: dict[str, Place]) -> Array:
    """The bytes of a file that are no values, by their position."""
    is_value = np.zeros(len(whole), bool)
    for place in where.values():
        is_value[place.start : place.end] = True
    return np.flatnonzero(~is_value)


def mutant(whole: bytes, telling: Array, seed: int, number: int) -> bytes:
    """A file with one to four changes; three of four begin among the bytes at ``telling``."""
    random = np.random.Generator(np.random.Philox(key=[seed, number]))
    data = bytearray(whole)
    for _ in range(int(random.integers(1, _MOST_CHANGES + 1))):
        anywhere = not len(telling) or random.integers(4) == 0
        at = int(random.integers(len(whole)) if anywhere else random.choice(telling))
        change = _CHANGES[int(random.integers(len(_CHANGES)))]
        change(data, min(at, max(0, len(data) - 1)), random)
    return bytes(data)


def _any_byte(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at : at + 1] = bytes([int(random.integers(256))])


def _telling_byte(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at : at + 1] = bytes([int(random.choice(_BYTES))])


def _bit(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at : at + 1] = bytes(byte ^ (1 << int(random.integers(8))) for byte in data[at : at + 1])


def _number(data: bytearray, at: int, random: np.random.Generator) -> None:
    number = _NUMBERS[int(random.integers(len(_NUMBERS)))]
    width = int(random.choice((4, 8)))
    content = struct.pack("<q", number)[:width]
    data[at : at + width] = content


def _step(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at : at + 1] = bytes((byte + random.choice((-1, 1))) % 256 for byte in data[at : at + 1])


def _cut(data: bytearray, at: int, random: np.random.Generator) -> None:
    del data[at : at + int(random.integers(1, _LONGEST))]


def _doubled(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at:at] = data[at : at + int(random.integers(1, _LONGEST))]


def _copied(data: bytearray, at: int, random: np.random.Generator) -> None:
    length = int(random.integers(1, _LONGEST))
    source = int(random.integers(max(1, len(data))))
    piece = data[source : source + length]
    data[at : at + len(piece)] = piece


def _ended(data: bytearray, at: int, random: np.random.Generator) -> None:
    # Rarely: nearly every reader sees at once that a file is cut.
    if random.integers(4) == 0:
        del data[at:]


_CHANGES: Final = (
    *(_any_byte, _telling_byte, _bit, _bit, _number, _number, _step, _step),
    *(_cut, _doubled, _copied, _ended),
)


def unlike(
    original: Checkpoint, read: Checkpoint, where: dict[str, Place], damaged: bytes
) -> Iterator[tuple[str, list[bytes]]]:
    """The tensors of a mutant that are neither the original's nor what stands in its place.

    Each with its values in every order that some format stores them in.
    """
    for name in read:
        values = read[name]
        if name in original and values.tobytes() == original[name].tobytes():
            continue
        if name in where:
            place = where[name]
            content = stored(place.arrange(name, values, read))
            if content == damaged[place.start : place.end]:
                continue
        yield name, [stored(arrange(name, values, read)) for arrange in _ARRANGEMENTS[:3]]


def by_library(path: Path, name: str) -> set[bytes]:
    """The values of every array in a file, as the format's own library reads it.

    Where a format has no checksums, a number in it may come to lead to other bytes of the file, and
    nobody can tell that it did not always.
    """
    found: set[bytes] = set()
    if name.startswith("keras") or name.endswith("-h5"):
        start = path.read_bytes().find(b"\x89HDF")
        with path.open("rb") as file, h5py.File(io.BytesIO(file.read()[start:])) as content:

            def note(_: str, item: object) -> None:
                if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
                    found.add(stored(item[()].astype(np.float32)))

            content.visititems(note)
    elif name == "torchvision":
        # Mutants of files of our own: no call that PyTorch would make is in them.
        with torch.serialization.safe_globals([Namespace]):
            state = torch.load(path, weights_only=True)
        tensors = [values for values in state.values() if isinstance(values, torch.Tensor)]
        found |= {stored(values.numpy(force=True)) for values in tensors}
    elif name == "npy":
        with path.open("rb") as file:
            npy.read_magic(file)
            npy.read_array_header_1_0(file)
            _Arrays(file, encoding="latin1").load()
        found |= {stored(values) for values in _Arrays.made if values.dtype == np.float32}
    return found


class _Arrays(pickle._Unpickler):
    """Has NumPy make the arrays of a pickle, and nothing else, and notes them."""

    made: ClassVar[list[Array]] = []

    def find_class(self, _: str, name: str) -> Any:
        if name == "_reconstruct":
            return self._reconstruct
        return {"ndarray": np.ndarray, "dtype": np.dtype}[name]

    def _reconstruct(self, *_: Any) -> Array:
        array = np.ndarray.__new__(np.ndarray, (0,), "b")
        self.made.append(array)
        return array

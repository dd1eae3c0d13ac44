"""NumPy archives (``.npz``) in the form of D. Frossard's ``vgg16_weights.npz``.

``conv1_1_W``, ``conv1_1_b``, … ``fc8_W``, ``fc8_b``: kernels as HWIO, dense layers as (in, out)
with fc6's inputs in HWC order. His network subtracts the means 123.68, 116.779 and 103.939 from RGB
images, so that its first kernel is the authors' with the input channels reversed. A checkpoint has
the recipe's order of channels, which for these weights, the authors' own, is BGR: the first kernel
is reversed again, a pure move of values. In every file of this form it reads RGB, whatever the
recipe. Source: https://www.cs.toronto.edu/~frossard/post/vgg16/.

The metadata stand in the archive's comment: his program assigns every member to a variable. Only
with labels that a comment has no room for are they a member.
"""

from __future__ import annotations

import io
import math
import zipfile
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib import format as npy

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Tensor
from vgg16_spec.checkpoint.tensors import mapped_view
from vgg16_spec.errors import BadInput, counted
from vgg16_spec.layouts import keras_shape
from vgg16_weights import not_weights
from vgg16_weights.archives import MANIFEST, ArchiveWriter, comment, opened, stored
from vgg16_weights.contents import BlocksOf, Contents, by_name
from vgg16_weights.matching.layer_names import authors_name

_LETTERS: Final = {"weight": "W", "bias": "b"}
_PARTS: Final = {letter: part for part, letter in _LETTERS.items()}
_ENDING: Final = ".npy"
# More than any VGG has of arrays, and than NumPy's header of one takes.
_MOST_MEMBERS: Final = 1024
_MOST_HEADER: Final = 10_000
# As much as a header in NumPy's first form can have, so that its own error tells.
_MOST_READ: Final = 1 << 17
# Twice what the largest tensor takes; a crafted file may inflate to a thousand times itself.
_MOST_BYTES: Final = 1 << 30
_BLOCK_BYTES: Final = 1 << 22


class _Header(NamedTuple):
    """What NumPy's header at the beginning of a member says, and how long it is."""

    shape: Shape
    fortran: bool
    dtype: np.dtype[Any]
    size: int


def read(path: Path, block_bytes: int = _BLOCK_BYTES) -> Contents:
    """The arrays; those that are not compressed are views of the mapped file.

    Any other is inflated ``block_bytes`` at a time.

    Raises ``ValueError`` for arrays of Python objects, among others.
    """
    with opened(path) as archive:
        listed = [member for member in archive.infolist() if member.filename != MANIFEST]
        if len(listed) > _MOST_MEMBERS:
            raise ValueError(f"more than {_MOST_MEMBERS} members")
        tensors = by_name(
            (_name(one.filename), _tensor(path, archive, one, block_bytes)) for one in listed
        )
    if not any(name.endswith((".weight", ".bias")) for name in tensors):
        raise not_weights.other_arrays(path, list(tensors))
    return Contents(tensors, comment(path), data_format="channels_last")


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file as ``numpy.savez`` does."""
    with path.open("wb") as file, ArchiveWriter(file) as archive:
        for name, shape in checkpoint.configuration.weight_shapes.items():
            layer, _, part = name.partition(".")
            header = _header(keras_shape(shape))
            size = len(header) + FLOAT32.itemsize * math.prod(shape)
            member = f"{authors_name(layer)}_{_LETTERS[part]}{_ENDING}"
            archive.stream(member, size, chain([header], blocks_of(name)))
        archive.comment(checkpoint.metadata)


def _header(shape: Shape) -> bytes:
    text = io.BytesIO()
    described = {"descr": FLOAT32.str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(text, described)
    return text.getvalue()


def _name(member: str) -> str:
    """The canonical name of the tensor in a member; a member that is none of theirs is marked."""
    layer, _, letter = member.removesuffix(_ENDING).rpartition("_")
    if letter in _PARTS and member.endswith(_ENDING):
        return f"{layer}.{_PARTS[letter]}"
    return f"array {member!r}"


def _tensor(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, block_bytes: int
) -> Tensor:
    header = _read_header(archive, member)
    count = math.prod(header.shape)
    if header.dtype.hasobject:
        raise ValueError(f"{member.filename} has Python objects in it, which are not loaded")
    if header.size + header.dtype.itemsize * count != member.file_size:
        problem = f"has {counted(member.file_size, 'byte')}, not those of {header.shape}"
        raise ValueError(f"{member.filename} {problem}")
    if member.compress_type == zipfile.ZIP_STORED:
        _, content = stored(path, member)
        values = partial(mapped_view, content, header.size, (count,), header.dtype)
    elif member.file_size > _MOST_BYTES:
        raise ValueError(f"{member.filename} inflates to more than {_MOST_BYTES} bytes")
    else:
        values = partial(_inflated, path, member, header, count, block_bytes)

    def view() -> Array:
        if header.fortran:
            return values().reshape(header.shape[::-1]).transpose()
        return values().reshape(header.shape)

    return Tensor(header.shape, str(header.dtype), view)


def _read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Header:
    with archive.open(member) as content:
        # NumPy reads as much as a header says that it has.
        file = io.BytesIO(content.read(_MOST_READ))
    match npy.read_magic(file):
        case (1, 0):
            stated = npy.read_array_header_1_0(file, _MOST_HEADER)
        case (2, 0):
            stated = npy.read_array_header_2_0(file, _MOST_HEADER)
        case version:
            raise ValueError(f"{member.filename} is in version {version} of NumPy's format")
    return _Header(*stated, file.tell())


def _inflated(
    path: Path, member: zipfile.ZipInfo, header: _Header, count: int, block_bytes: int
) -> Array:
    """The values of a compressed member, no more of them than its header says."""
    values = np.empty(count, header.dtype)
    target = values.view(np.uint8)
    try:
        with opened(path) as archive, archive.open(member) as file:
            file.read(header.size)
            filled = 0
            while piece := file.read(block_bytes):
                target[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
                filled += len(piece)
            if filled != len(target):
                raise ValueError(f"{member.filename} is incomplete")
    except Exception as error:  # whatever zipfile raises on a damaged member
        raise BadInput(path, f"cannot be used ({error})", "an archive that is whole") from error
    return values

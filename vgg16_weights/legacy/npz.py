"""NumPy archives (``.npz``) in the form of D. Frossard's ``vgg16_weights.npz``.

``conv1_1_W``, ``conv1_1_b``, … ``fc8_W``, ``fc8_b``: kernels as HWIO, dense layers as (in, out)
with fc6's inputs in HWC order. His network subtracts the means 123.68, 116.779 and 103.939 from RGB
images, so that its first kernel is the authors' with the input channels reversed. A checkpoint has
the recipe's order of channels, which for these weights, the authors' own, is BGR: the first kernel
is reversed again, a pure move of values. In every file of this form it reads RGB, whatever the
recipe. Source: https://www.cs.toronto.edu/~frossard/post/vgg16/.

The metadata stand in the archive's comment: his program assigns every member to a variable.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.lib import format as npy

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Tensor
from vgg16_spec.checkpoint.tensors import mapped_view
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.layouts import canonical_view, keras_shape, keras_shape_to_canonical, keras_view
from vgg16_weights.archives import ArchiveWriter, comment, is_archive, stored_at
from vgg16_weights.checksums import check_sum
from vgg16_weights.formats import Format, stated_or_default
from vgg16_weights.layer_names import (
    FIRST_KERNEL,
    authors_name,
    canonical_name,
    configuration_named,
    reads_bgr,
    swap_rgb_bgr,
)

FORMAT: Final = Format(
    name="npz", ending=".npz", title="NumPy arrays named as conv1_1_W, conv1_1_b, … fc8_b (.npz)"
)

_PARTS: Final = {"weight": "W", "bias": "b"}
_CANONICAL_PARTS: Final = {letter: part for part, letter in _PARTS.items()}
_ENDING: Final = ".npy"
# More than any VGG has of arrays, and than NumPy's header of one takes.
_MOST_MEMBERS: Final = 1024
_MOST_HEADER: Final = 10_000
# As much as a header in NumPy's first form can have, so that its own error tells.
_MOST_READ: Final = 1 << 17
# Twice what the largest tensor takes; a crafted file may inflate to a thousand times itself.
_MOST_BYTES: Final = 1 << 30
_CHUNK: Final = 1 << 22


class _Stored(NamedTuple):
    """An array in the archive: its member, and what NumPy's header before the values says."""

    member: zipfile.ZipInfo
    header: int
    shape: Shape
    fortran: bool
    dtype: str


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether a zip archive has nothing but NumPy's arrays in it."""
    return bool(members) and all(name.endswith(_ENDING) for name in members)


def read(path: Path) -> Checkpoint:
    """The arrays as a checkpoint; those that are not compressed are views of the mapped file.

    The metadata are those that `write` left in it; without them the recipe is that of
    Frossard's weights, ``caffe``, with the first kernel turned to BGR.

    Raises ``BadInput`` for a file that is missing, truncated or damaged, for arrays of Python
    objects, and that lists every array that does not fit.
    """
    require_file(path, FORMAT.title)
    try:
        is_archive(path)
        with zipfile.ZipFile(path) as archive:
            stored = _arrays(archive)
            shapes = {name: keras_shape_to_canonical(one.shape) for name, one in stored.items()}
            configuration = configuration_named(shapes, str(path))
            kept = comment(path)
            metadata = stated_or_default(kept, path, FORMAT, "caffe")
            reversed_ = reads_bgr(metadata.recipe, str(path))
            feature_shape = configuration.feature_shape
            tensors = {
                name: _tensor(path, name, one, feature_shape, reversed_)
                for name, one in stored.items()
            }
    except BadInput:
        raise
    except Exception as error:  # whatever zipfile and NumPy raise on a damaged file
        reason = str(error) or type(error).__name__
        raise BadInput(path, f"cannot be used ({reason})", FORMAT.title) from error
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as ``numpy.savez`` does, block by block, with the metadata beside.

    The same values and metadata give the same bytes.

    Raises ``BadInput`` when a value is not finite, its recipe is unknown, or the file cannot be
    written.
    """
    configuration = checkpoint.configuration
    reversed_ = reads_bgr(checkpoint.metadata.recipe, checkpoint.label)

    def arranged(name: str, values: Array) -> Array:
        if name == FIRST_KERNEL and reversed_:
            values = swap_rgb_bgr(values)
        return keras_view(name, values, configuration.feature_shape)

    with (
        whole_file(path) as temporary,
        temporary.open("wb") as file,
        ArchiveWriter(file) as archive,
        checkpoint.finite_blocks(arranged) as blocks_of,
    ):
        for name, shape in configuration.weight_shapes.items():
            layer, _, part = name.partition(".")
            header = _header(keras_shape(shape))
            size = len(header) + FLOAT32.itemsize * math.prod(shape)
            member = f"{authors_name(layer)}_{_PARTS[part]}{_ENDING}"
            archive.stream(member, size, chain([header], blocks_of(name)))
        archive.comment(checkpoint.metadata.to_json())


def _header(shape: Shape) -> bytes:
    text = io.BytesIO()
    described = {"descr": FLOAT32.str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(text, described)
    return text.getvalue()


def _arrays(archive: zipfile.ZipFile) -> dict[str, _Stored]:
    """Canonical tensor name -> array, of every member."""
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise ValueError(f"more than {_MOST_MEMBERS} members")
    arrays: dict[str, _Stored] = {}
    for member in archive.infolist():
        layer, _, letter = member.filename.removesuffix(_ENDING).rpartition("_")
        name = f"array {member.filename!r}"
        if letter in _CANONICAL_PARTS and member.filename.endswith(_ENDING):
            name = f"{canonical_name(layer)}.{_CANONICAL_PARTS[letter]}"
        if name in arrays:
            raise ValueError(f"{member.filename} is there twice")
        arrays[name] = _described(archive, member)
    return arrays


def _described(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Stored:
    """What NumPy's header in a member says."""
    with archive.open(member) as content:
        # NumPy reads as much as a header says that it has.
        file = io.BytesIO(content.read(_MOST_READ))
        match npy.read_magic(file):
            case (1, 0):
                shape, fortran, dtype = npy.read_array_header_1_0(file, _MOST_HEADER)
            case (2, 0):
                shape, fortran, dtype = npy.read_array_header_2_0(file, _MOST_HEADER)
            case version:
                raise ValueError(f"{member.filename} is in version {version} of NumPy's form")
        header = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{member.filename} has Python objects in it, which are not loaded")
    if header + dtype.itemsize * math.prod(shape) != member.file_size:
        raise ValueError(f"{member.filename} has {member.file_size} bytes, not those of {shape}")
    return _Stored(member, header, shape, fortran, str(dtype))


def _tensor(
    path: Path, name: str, stored: _Stored, feature_shape: Shape, reversed_: bool
) -> Tensor:
    read = _reader(path, stored)

    def view() -> Array:
        values = read()
        if stored.fortran:
            values = values.reshape(stored.shape[::-1]).transpose()
        else:
            values = values.reshape(stored.shape)
        values = canonical_view(name, values, feature_shape)
        return swap_rgb_bgr(values) if name == FIRST_KERNEL and reversed_ else values

    return Tensor(keras_shape_to_canonical(stored.shape), stored.dtype, view)


def _reader(path: Path, stored: _Stored) -> Callable[[], Array]:
    """What gives the values in the file's order, flat: mapped, or inflated each time."""
    start = stored_at(path, stored.member)
    if start is None:
        if stored.member.file_size > _MOST_BYTES:
            raise ValueError(f"{stored.member.filename} inflates to more than {_MOST_BYTES} bytes")
        return partial(_inflated, path, stored)
    mapped = np.memmap(path, np.uint8, mode="r", offset=start, shape=(stored.member.file_size,))
    check_sum(stored.member, mapped)
    return partial(mapped_view, mapped, stored.header, (math.prod(stored.shape),))


def _inflated(path: Path, stored: _Stored) -> Array:
    """The values of a compressed member, no more of them than its header says."""
    values = np.empty(math.prod(stored.shape), FLOAT32)
    target = values.view(np.uint8)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(stored.member) as file:
            file.read(stored.header)
            filled = 0
            while piece := file.read(_CHUNK):
                target[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
                filled += len(piece)
            if filled != len(target):
                raise ValueError(f"{stored.member.filename} is not all there")
    except Exception as error:  # whatever zipfile raises on a damaged member
        raise BadInput(path, f"cannot be used ({error})", FORMAT.title) from error
    return values

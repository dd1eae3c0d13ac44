"""PyTorch's files (``.pth``, ``.pt``, ``.ckpt``, ``.pth.tar``, ``.bin``): state dicts, by content.

A file is what ``torch.save`` made of any object: since version 1.6 a zip archive of a pickle and
the values of each storage (``caffe2/serialize/inline_container.cc``), before that several pickles
and then the values (``_legacy_load`` in ``torch/serialization.py``). The pickle is read as data, so
that nothing in it runs, whatever a training script put beside the weights; values are mapped.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Metadata
from vgg16_spec.errors import BadInput, few
from vgg16_spec.names import torchvision_keys
from vgg16_weights import not_weights, pickles
from vgg16_weights.archives import MANIFEST, MANIFEST_LIMIT, ArchiveWriter, opened, stored
from vgg16_weights.contents import BlocksOf, Contents, by_name
from vgg16_weights.torch import state_dicts
from vgg16_weights.torch.state_dicts import BytesOf

# The folder in the archive that everything lies in; PyTorch takes any.
_FOLDER: Final = "archive"
# Far more than a training run's own objects take beside the keys and shapes.
_MOST_PICKLED: Final = 1 << 22
# The number that torch.save wrote first before 1.6, and the version of its format.
_MAGIC: Final = (0x1950A86A20F9469CFC6C, 1001)


def read(path: Path) -> Contents:
    """The tensors in a file, each under the path of dictionaries and lists that it lies in.

    Everything but tensors is ignored, and so is an optimiser's state.

    Raises ``BadInput`` for TorchScript and for pickled modules, and ``ValueError`` for a file that
    is damaged.
    """
    if zipfile.is_zipfile(path):
        return _read_archive(path)
    return _read_older(path)


def _read_archive(path: Path) -> Contents:
    with opened(path) as archive:
        listed = archive.infolist()
    members = {member.filename: member for member in listed}
    if len(members) < len(listed):
        raise ValueError("two of its members have the same name")
    if refusal := not_weights.archive(path, members):
        raise refusal
    pickled = [name for name in members if f"/{name}".endswith("/data.pkl")]
    if len(pickled) != 1:
        raise ValueError(f"it has {len(pickled)} members named data.pkl")
    folder = pickled[0].removesuffix("data.pkl")
    left = path.stat().st_size

    def content(name: str, most: int | None = None) -> Array:
        nonlocal left
        member = members.get(folder + name)
        if member is None:
            raise ValueError(f"it has no member {name}")
        left -= member.compress_size
        if left < 0:
            raise ValueError("its members overlap")
        if most is not None and member.file_size > most:
            raise ValueError(f"{member.filename} has {member.file_size} bytes")
        return stored(path, member)[1]

    kept = None
    if f"{folder}{MANIFEST}" in members:
        kept = Metadata.from_json(content(MANIFEST, MANIFEST_LIMIT).tobytes())
    is_little = f"{folder}byteorder" not in members or content("byteorder", 8).tobytes() != b"big"
    stream = io.BytesIO(content("data.pkl", _MOST_PICKLED).tobytes())
    root = pickles.load(stream, state_dicts.persistent)
    found: dict[str, Array] = {}

    def bytes_of(key: str) -> Array:
        if key not in found:
            found[key] = content(f"data/{key}")
        return found[key]

    return _contents(path, root, bytes_of, kept, is_little=is_little)


def _read_older(path: Path) -> Contents:
    """What ``torch.save`` wrote before 1.6: five pickles, then each storage's size and values."""
    with path.open("rb") as file:
        stream = io.BytesIO(file.read(_MOST_PICKLED))
    if pickles.load(stream, state_dicts.persistent) != _MAGIC[0]:
        raise not_weights.a_pickle(path)
    version, system, root, keys = (pickles.load(stream, state_dicts.persistent) for _ in range(4))
    if version != _MAGIC[1] or not isinstance(system, dict) or not isinstance(keys, list):
        raise ValueError("PyTorch before 1.6 wrote no such file")
    mapped = np.memmap(path, np.uint8, mode="r")
    sizes = {
        storage.key: state_dicts.itemsize(storage.dtype) for storage in state_dicts.storages(root)
    }
    places: dict[str, tuple[int, int]] = {}
    position = stream.tell()
    for key in keys:
        if not isinstance(key, str) or key not in sizes:
            raise ValueError("it has values that belong to no tensor")
        count = int.from_bytes(mapped[position : position + 8].tobytes(), "little")
        begin, position = position + 8, position + 8 + count * sizes[key]
        if position > len(mapped):
            raise not_weights.is_truncated(path)
        places[key] = begin, position

    def bytes_of(key: str) -> Array:
        begin, end = places[key]
        return mapped[begin:end]

    is_little = system.get("little_endian") is not False
    return _contents(path, root, bytes_of, None, is_little=is_little)


def _contents(
    path: Path, root: object, bytes_of: BytesOf, kept: Metadata | None, *, is_little: bool
) -> Contents:
    """The tensors in a pickle."""
    is_row = isinstance(root, list | tuple) and any(map(pickles.entries, root))
    if pickles.entries(root) is None and not is_row:
        raise _refused(path, root)
    found = list(state_dicts.walk(root))
    tensors = by_name(
        (key, tensor)
        for key, value in found
        if (tensor := state_dicts.tensor(value, bytes_of, is_little=is_little)) is not None
    )
    # Next to a pickled module, other tensors are not its weights unless some are kernels.
    kernels = any(len(tensor.shape) == 4 for tensor in tensors.values())
    if not tensors or (not kernels and any(state_dicts.is_module(value) for _, value in found)):
        raise _refused(path, root)
    modules = [key for key, value in found if state_dicts.is_module(value)]
    steps = (f"pickled modules ignored: {few(f'`{key}`' for key in modules)}",)
    return Contents(tensors, kept, is_ordered=True, steps=steps if modules else ())


def _refused(path: Path, root: object) -> BadInput:
    """The refusal of a file without named tensors, by what it is."""
    records = list(state_dicts.walk(root))
    for key, value in records:
        if state_dicts.is_module(value):
            return not_weights.a_module(path, key, value.name)
    if any(record.name.endswith("._reconstruct") for _, record in records):
        return not_weights.numpy_arrays(path)
    if state_dicts.is_optimizer(root):
        return not_weights.an_optimizer(path)
    names = [value.name for _, value in records] or [type(root).__name__]
    is_tensor = names[0].startswith("torch._utils._rebuild")
    held = "tensors without names" if is_tensor else f"{names[0][:60]}, not named tensors"
    problem = f"it holds {held}"
    expected = "a state dict: torch.save(model.state_dict(), FILE)"
    return BadInput(path, f"cannot be used ({problem})", expected)


def write(path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
    """Fill a file with a state dict that torchvision's model loads with ``strict=True``.

    It is the archive that ``torch.save`` writes (``caffe2/serialize/inline_container.cc``), but
    written block by block, so that no tensor is held whole.
    """
    keys = torchvision_keys(checkpoint.configuration)
    shapes = checkpoint.configuration.weight_shapes
    with path.open("r+b") as file, ArchiveWriter(file) as archive:
        archive.add(f"{_FOLDER}/data.pkl", _pickled({keys[name]: shapes[name] for name in keys}))
        archive.add(f"{_FOLDER}/byteorder", b"little")
        for number, name in enumerate(keys):
            size = FLOAT32.itemsize * math.prod(shapes[name])
            archive.stream(f"{_FOLDER}/data/{number}", size, blocks_of(name))
        archive.add(f"{_FOLDER}/version", b"3\n")
        archive.add(f"{_FOLDER}/{MANIFEST}", checkpoint.metadata.to_json().encode())


class _Named(NamedTuple):
    """A tensor by its shape, and the number of its values' place in the archive."""

    number: int
    shape: Shape


class _Stored(NamedTuple):
    """Where a tensor's values are in the archive, and how many."""

    number: int
    elements: int


class _Pickler(pickle.Pickler):
    """Pickles tensors by their shapes as PyTorch pickles those with values."""

    def reducer_override(self, obj: object) -> Any:
        from torch._utils import _rebuild_tensor_v2

        if not isinstance(obj, _Named):
            return NotImplemented
        strides = tuple(math.prod(obj.shape[axis + 1 :]) for axis in range(len(obj.shape)))
        storage = _Stored(obj.number, math.prod(obj.shape))
        # Storage, first element, shape, strides, no gradient wanted, no hooks.
        return _rebuild_tensor_v2, (storage, 0, obj.shape, strides, False, OrderedDict())

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        import torch

        if not isinstance(obj, _Stored):
            return None
        return ("storage", torch.FloatStorage, str(obj.number), "cpu", obj.elements)


def _pickled(shapes: dict[str, Shape]) -> bytes:
    """The state dict of tensors with these shapes, their values in storages 0, 1, 2, …"""
    stream = io.BytesIO()
    state = {key: _Named(number, shape) for number, (key, shape) in enumerate(shapes.items())}
    _Pickler(stream, protocol=2).dump(state)
    return stream.getvalue()

"""torchvision's own weight files: a state dict saved by PyTorch (``.pth``)."""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Metadata, Tensor
from vgg16_spec.names import torchvision_keys
from vgg16_weights.archives import MANIFEST, MANIFEST_LIMIT, ArchiveWriter, opened, stored
from vgg16_weights.contents import BlocksOf, Contents

if TYPE_CHECKING:
    import torch

# The folder in the archive that everything lies in; PyTorch takes any.
_FOLDER: Final = "archive"
# How PyTorch names what a pickle would call or make.
_REFERENCE: Final = re.compile(r"GLOBAL ([\w.]+)")
# Far more than the keys and shapes of VGG take.
_MOST_PICKLED: Final = 1 << 20
# PyTorch reads the older form into memory, as much as it claims to have.
_MOST_UNMAPPED: Final = 1 << 30


def read(path: Path) -> Contents:
    """A ``.pth`` state dict with torchvision's keys.

    The file is mapped where it is a zip archive, as PyTorch's own have been since 1.6, and nothing
    in it is executed (``weights_only``).
    """
    is_archive = zipfile.is_zipfile(path)
    if not is_archive and path.stat().st_size > _MOST_UNMAPPED:
        raise ValueError(f"more than {_MOST_UNMAPPED} bytes in the form from before 1.6")
    kept = _checked(path) if is_archive else None
    state = _load(path, mapped=is_archive)
    tensors = {key: _tensor(values) for key, values in state.items()}
    return Contents(tensors, kept, is_ordered=True)


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


class _Storage(NamedTuple):
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
        storage = _Storage(obj.number, math.prod(obj.shape))
        # Storage, first element, shape, strides, no gradient wanted, no hooks.
        return _rebuild_tensor_v2, (storage, 0, obj.shape, strides, False, OrderedDict())

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        import torch

        if not isinstance(obj, _Storage):
            return None
        return ("storage", torch.FloatStorage, str(obj.number), "cpu", obj.elements)


def _pickled(shapes: dict[str, Shape]) -> bytes:
    """The state dict of tensors with these shapes, their values in storages 0, 1, 2, …"""
    stream = io.BytesIO()
    state = {key: _Named(number, shape) for number, (key, shape) in enumerate(shapes.items())}
    _Pickler(stream, protocol=2).dump(state)
    return stream.getvalue()


def _load(path: Path, *, mapped: bool) -> dict[str, torch.Tensor]:
    """The tensors in a file. Raises ``ValueError`` for one that has anything else in it."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        # PyTorch's own text tells how to run the code in the file after all.
        refers = _REFERENCE.search(str(error))
        reason = f"it refers to {refers[1]}" if refers else "it is no pickle of tensors alone"
        raise ValueError(f"PyTorch cannot load it: {reason}") from error
    except Exception as error:  # whatever else it raises on a damaged file, in many lines
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"PyTorch cannot load it: {reason}") from error
    named = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(values, torch.Tensor) and values.layout == torch.strided
        for key, values in state.items()
    )
    if not named:
        raise ValueError(f"it holds {type(state).__name__}, not named tensors")
    return dict(state)


def _checked(path: Path) -> Metadata | None:
    """What `write` left in an archive, in whatever folder, after a look at each of its members.

    Raises ``ValueError`` for what PyTorch would inflate to any size, or map without comparing it
    with its checksum.
    """
    kept = None
    with opened(path) as archive:
        for member in archive.infolist():
            name = member.filename.rpartition("/")[2]
            _, content = stored(path, member)
            if name == "data.pkl" and member.file_size > _MOST_PICKLED:
                raise ValueError(f"{member.filename} has {member.file_size} bytes")
            if name == MANIFEST and member.file_size < MANIFEST_LIMIT:
                kept = kept or Metadata.from_json(content.tobytes())
    return kept


def _tensor(values: torch.Tensor) -> Tensor:
    dtype = str(values.dtype).removeprefix("torch.")
    return Tensor(tuple(values.shape), dtype, lambda: values.detach().numpy())

"""torchvision's own weight files: a state dict saved by PyTorch (``.pth``)."""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from vgg16_spec.architecture import CONFIGURATIONS, Shape
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Metadata, Tensor, configuration_of
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import torchvision_keys
from vgg16_weights.archives import MANIFEST, ArchiveWriter, is_archive, manifest, stored_at
from vgg16_weights.checksums import check_sum
from vgg16_weights.formats import Format, stated_or_default

if TYPE_CHECKING:
    import torch

FORMAT: Final = Format(
    name="torchvision", ending=".pth", title="a state dict of torchvision's VGG (.pth)"
)

_PICKLE: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# The folder in the archive that everything lies in; PyTorch takes any.
_FOLDER: Final = "archive"
# How PyTorch names what a pickle would call or make.
_REFERENCE: Final = re.compile(r"GLOBAL ([\w.]+)")
# Far more than the keys and shapes of VGG take.
_MOST_PICKLED: Final = 1 << 20
# PyTorch reads the older form into memory, as much as it claims to have.
_MOST_UNMAPPED: Final = 1 << 30


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether it is a zip archive with a pickle, or one of PyTorch's pickles from before 1.6."""
    return start.startswith(_PICKLE) or any(name.endswith("/data.pkl") for name in members)


def read(path: Path) -> Checkpoint:
    """A ``.pth`` state dict with torchvision's keys as a checkpoint.

    The file is mapped where it is a zip archive, as PyTorch's own have been since 1.6, and nothing
    in it is executed (``weights_only``). Its configuration is found from the shapes of its
    convolutions. Its metadata are those that `write` left in it; without them the recipe is
    torchvision's.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration, and where PyTorch is not installed.
    """
    state = _load(path)
    # In the order of the modules' numbers, whatever the order in the file. The classifier's keys
    # are the same in every configuration; the features' shapes then tell which one it is.
    classifier = {key: name for name, key in torchvision_keys(CONFIGURATIONS["D"]).items()}
    shapes = {
        classifier.get(key, key): tuple(state[key].shape) for key in sorted(state, key=_order)
    }
    configuration = configuration_of(shapes, str(path))
    canonical = {key: name for name, key in torchvision_keys(configuration).items()}
    tensors = {canonical.get(key, key): _tensor(values) for key, values in state.items()}
    metadata = stated_or_default(_manifest(path), path, FORMAT, "torchvision")
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as a ``.pth`` state dict that torchvision's model of the same
    configuration loads with ``strict=True``. The metadata go along, where PyTorch does not look.

    It is the archive that ``torch.save`` writes (``caffe2/serialize/inline_container.cc``), but
    written block by block, so that no tensor is held whole.

    Raises ``BadInput`` when a value is not finite, the file cannot be written, or PyTorch is not
    installed; what was there then stays.
    """
    _need_pytorch(path)
    keys = torchvision_keys(checkpoint.configuration)
    shapes = checkpoint.configuration.weight_shapes
    with (
        whole_file(path) as temporary,
        temporary.open("r+b") as file,
        ArchiveWriter(file) as archive,
        checkpoint.finite_blocks() as blocks_of,
    ):
        archive.add(f"{_FOLDER}/data.pkl", _pickled({keys[name]: shapes[name] for name in keys}))
        archive.add(f"{_FOLDER}/byteorder", b"little")
        for number, name in enumerate(keys):
            size = FLOAT32.itemsize * math.prod(shapes[name])
            archive.stream(f"{_FOLDER}/data/{number}", size, blocks_of(name))
        archive.add(f"{_FOLDER}/version", b"3\n")
        archive.add(f"{_FOLDER}/{MANIFEST}", checkpoint.metadata.to_json().encode())


class _Storage(NamedTuple):
    """Where a tensor's values are in the archive, and how many."""

    number: int
    elements: int


class _Named:
    """A tensor by its shape: pickled as PyTorch pickles one with values."""

    def __init__(self, number: int, shape: Shape) -> None:
        self._number, self._shape = number, shape

    def __reduce__(self) -> tuple[Any, ...]:
        from collections import OrderedDict

        from torch._utils import _rebuild_tensor_v2

        strides = tuple(math.prod(self._shape[axis + 1 :]) for axis in range(len(self._shape)))
        storage = _Storage(self._number, math.prod(self._shape))
        # Storage, first element, shape, strides, no gradient wanted, no hooks.
        return _rebuild_tensor_v2, (storage, 0, self._shape, strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    """Names storages as PyTorch's unpickler looks for them."""

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        if not isinstance(obj, _Storage):
            return None
        import torch

        return ("storage", torch.FloatStorage, str(obj.number), "cpu", obj.elements)


def _pickled(shapes: dict[str, Shape]) -> bytes:
    """The state dict of tensors with these shapes, their values in storages 0, 1, 2, …"""
    stream = io.BytesIO()
    state = {key: _Named(number, shape) for number, (key, shape) in enumerate(shapes.items())}
    _Pickler(stream, protocol=2).dump(state)
    return stream.getvalue()


def _order(key: str) -> list[tuple[int, str]]:
    """Sorts numbers as numbers, so that features.10 comes after features.2."""
    return [(int(part) if part.isdecimal() else -1, part) for part in key.split(".")]


def _load(path: Path) -> dict[str, torch.Tensor]:
    require_file(path, FORMAT.title)
    _need_pytorch(path)
    import torch

    try:
        # Only the zip format, PyTorch's own since 1.6, can be mapped.
        mapped = is_archive(path)
        if mapped:
            _check_members(path)
        elif path.stat().st_size > _MOST_UNMAPPED:
            raise ValueError(f"more than {_MOST_UNMAPPED} bytes in the form from before 1.6")
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever the unpickler raises on a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            # PyTorch's own text tells how to run the code in the file after all.
            refers = _REFERENCE.search(str(error))
            reason = f"it refers to {refers[1]}" if refers else "it is no pickle of tensors alone"
        raise BadInput(path, f"PyTorch cannot load it ({reason})", FORMAT.title) from error
    named = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(values, torch.Tensor) and values.layout == torch.strided
        for key, values in state.items()
    )
    if not named:
        raise BadInput(path, f"holds {type(state).__name__}, not named tensors", FORMAT.title)
    return dict(state)


def _check_members(path: Path) -> None:
    """Raise ``ValueError`` for what PyTorch would inflate to any size, or map without a look at it.

    Mapped members are those that it does not compare with their checksums.
    """
    mapped = np.memmap(path, np.uint8, mode="r")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            start = stored_at(path, member)
            if start is None:
                raise ValueError(f"{member.filename} is compressed, as PyTorch never writes it")
            if member.filename.endswith("/data.pkl") and member.file_size > _MOST_PICKLED:
                raise ValueError(f"{member.filename} has {member.file_size} bytes")
            check_sum(member, mapped[start : start + member.file_size])


def _need_pytorch(path: Path) -> None:
    if find_spec("torch") is None:
        raise BadInput(path, "needs PyTorch, which is not installed", 'pip install -e ".[torch]"')


def _manifest(path: Path) -> Metadata | None:
    """What `write` left in the file, if it wrote it."""
    if not is_archive(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return manifest(archive)
    except Exception as error:  # whatever zipfile raises on a damaged entry
        raise BadInput(path, f"a damaged {MANIFEST} ({error})", FORMAT.title) from error


def _tensor(values: torch.Tensor) -> Tensor:
    dtype = str(values.dtype).removeprefix("torch.")
    return Tensor(tuple(values.shape), dtype, lambda: values.detach().numpy())

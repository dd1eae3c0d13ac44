"""torchvision's own weight files (``.pth``), read and written without building a model."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from vgg16.architecture import CONFIGURATIONS
from vgg16.atomic import whole_file
from vgg16.checkpoint import Checkpoint, Metadata, Tensor, configuration_of, digest
from vgg16.errors import BadInput, require_file
from vgg16.names import torchvision_keys

if TYPE_CHECKING:
    import torch

# Our own file in the archive, and more than it ever takes.
_METADATA: Final = "vgg16.json"
_METADATA_LIMIT: Final = 1 << 16
_EXPECTED: Final = "a state dict of torchvision's VGG (.pth)"


def read_weights(path: str | os.PathLike[str]) -> Checkpoint:
    """A ``.pth`` state dict with torchvision's keys as a checkpoint.

    The file is mapped, and nothing in it is executed (``weights_only``). Its configuration is found
    from the shapes of its convolutions. Its metadata are those that :func:`write_weights` left in
    it; without them the recipe is torchvision's.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, or whose tensors are
    not exactly those of one configuration.
    """
    path = Path(path)
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
    metadata = _metadata(path) or Metadata(
        recipe="torchvision",
        source=path.name,
        source_format="torchvision",
        source_sha256=digest(path),
    )
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def write_weights(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint as a ``.pth`` state dict that torchvision's model of the same
    configuration loads with ``strict=True``. The metadata go along, where PyTorch does not look.

    Raises ``BadInput`` when a value is not finite or the file cannot be written; what was there
    then stays.
    """
    import torch

    checkpoint.check_values()

    keys = torchvision_keys(checkpoint.configuration)
    # A copy of each: PyTorch does not take read-only memory.
    state = {key: torch.from_numpy(np.array(checkpoint[name])) for name, key in keys.items()}
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:
            torch.save(state, file)
        with zipfile.ZipFile(temporary, "a") as archive:
            folder = archive.namelist()[0].partition("/")[0]
            archive.writestr(f"{folder}/{_METADATA}", checkpoint.metadata.to_json())


def _order(key: str) -> list[tuple[int, str]]:
    """Sorts numbers as numbers, so that features.10 comes after features.2."""
    return [(int(part) if part.isdecimal() else -1, part) for part in key.split(".")]


def _load(path: Path) -> dict[str, torch.Tensor]:
    import torch

    require_file(path, _EXPECTED)
    try:
        # Only the zip format, PyTorch's own since 1.6, can be mapped.
        mapped = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever the unpickler raises on a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadInput(path, f"PyTorch cannot load it ({reason})", _EXPECTED) from error
    named = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(values, torch.Tensor) and values.layout == torch.strided
        for key, values in state.items()
    )
    if not named:
        raise BadInput(path, f"holds {type(state).__name__}, not named tensors", _EXPECTED)
    return dict(state)


def _metadata(path: Path) -> Metadata | None:
    """What :func:`write_weights` left in the file, if it wrote it."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(f"/{_METADATA}") and entry.file_size < _METADATA_LIMIT:
                try:
                    return Metadata.from_json(archive.read(entry))
                except Exception as error:  # whatever zipfile raises on a damaged entry
                    raise BadInput(path, f"a damaged {_METADATA} ({error})", _EXPECTED) from error
    return None


def _tensor(values: torch.Tensor) -> Tensor:
    dtype = str(values.dtype).removeprefix("torch.")
    return Tensor(tuple(values.shape), dtype, lambda: values.detach().numpy())

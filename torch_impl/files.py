"""torchvision's own weight files (``.pth``), read and written without building a model."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from vgg16.architecture import CONFIGURATIONS
from vgg16.atomic import whole_file
from vgg16.checkpoint import Checkpoint, Metadata, Tensor, configuration_of, digest
from vgg16.errors import BadInput
from vgg16.names import torchvision_keys

if TYPE_CHECKING:
    import torch

_EXPECTED: Final = "a state dict of torchvision's VGG (.pth)"


def read_weights(path: str | os.PathLike[str], *, recipe: str = "torchvision") -> Checkpoint:
    """A ``.pth`` state dict with torchvision's keys as a checkpoint.

    The file is mapped, and nothing in it is executed (``weights_only``). Its configuration is found
    from the shapes of its convolutions. The recipe is torchvision's unless another is given.

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
    metadata = Metadata(
        recipe=recipe,
        source=path.name,
        source_format="torchvision",
        source_sha256=digest(path),
    )
    return Checkpoint(configuration, metadata, tensors)


def write_weights(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint as a ``.pth`` state dict that torchvision's model of the same
    configuration loads with ``strict=True``.

    Raises ``BadInput`` when the file cannot be written; what was there then stays.
    """
    import torch

    keys = torchvision_keys(checkpoint.configuration)
    # A copy of each: PyTorch does not take read-only memory.
    state = {key: torch.from_numpy(np.array(checkpoint[name])) for name, key in keys.items()}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def _order(key: str) -> list[int | str]:
    """The key with its numbers as numbers, so that features.10 comes after features.2."""
    return [int(part) if part.isdigit() else part for part in key.split(".")]


def _load(path: Path) -> dict[str, torch.Tensor]:
    import torch

    if not path.is_file():
        raise BadInput(path, "no such file", _EXPECTED)
    try:
        # Only the zip format, PyTorch's own since 1.6, can be mapped.
        mapped = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadInput(path, f"PyTorch cannot load it ({reason})", _EXPECTED) from error
    named = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(values, torch.Tensor) for key, values in state.items()
    )
    if not named:
        raise BadInput(path, f"holds {type(state).__name__}, not named tensors", _EXPECTED)
    return dict(state)


def _tensor(values: torch.Tensor) -> Tensor:
    dtype = str(values.dtype).removeprefix("torch.")
    return Tensor(tuple(values.shape), dtype, lambda: values.detach().numpy())

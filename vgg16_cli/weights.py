"""Weight files on the command line: which format, and who reads and writes it."""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from vgg16 import architecture
from vgg16.checkpoint import Checkpoint
from vgg16.errors import BadInput, require_file
from vgg16_cli.console import working

# Format -> the ending of its files.
FORMATS: Final = MappingProxyType(
    {"safetensors": ".safetensors", "torchvision": ".pth", "keras-weights-h5": ".weights.h5"}
)
_HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_PICKLE_SIGNATURE: Final = b"\x80\x02"


def resolve(weights: str | None, configuration: str | None) -> Checkpoint:
    """The checkpoint that ``--weights`` and ``--configuration`` name.

    ``weights`` is a file of any format, or ``seeded`` or ``seeded:N`` for the seeded checkpoint of
    seed 0 or N, which is the default. ``configuration`` is D unless given; of a file it must be
    what the file holds.

    Raises ``BadInput`` where there is no such checkpoint.
    """
    if configuration is not None:
        architecture.configuration(configuration)  # refuses an unknown name
    if weights is None:
        return _seeded(configuration or "D", "0")
    name, _, seed = weights.partition(":")
    if name == "seeded" and not Path(weights).exists():
        return _seeded(configuration or "D", seed or "0")
    path = Path(weights)
    with working(f"read {path.name}"):
        checkpoint = read(path)
    if configuration not in (None, checkpoint.configuration.name):
        problem = f"holds configuration {checkpoint.configuration.name}"
        raise BadInput(path, problem, f"configuration {configuration}")
    return checkpoint


def read(path: Path, file_format: str | None = None) -> Checkpoint:
    """A weights file of any format as a checkpoint.

    Parameters
    ----------
    path: the file.
    file_format: one of ``FORMATS``; found from the content unless given.

    Raises ``BadInput`` for a file that cannot be used.
    """
    match _check_format(file_format) if file_format is not None else detect(path):
        case "torchvision":
            _need_pytorch(path)
            from torch_impl.files import read_weights

            return read_weights(path)
        case "keras-weights-h5":
            from keras_impl.files import read_weights as read_keras_weights

            return read_keras_weights(path)
        case _:
            from vgg16.checkpoint import open_checkpoint

            return open_checkpoint(path)


def write(checkpoint: Checkpoint, path: Path, file_format: str | None = None) -> str:
    """Write a checkpoint in a format, found from the file's ending unless given; its name."""
    file_format = _check_format(file_format) if file_format is not None else _by_ending(path)
    match file_format:
        case "torchvision":
            _need_pytorch(path)
            from torch_impl.files import write_weights

            write_weights(checkpoint, path)
        case "keras-weights-h5":
            from keras_impl.files import write_weights as write_keras_weights

            write_keras_weights(checkpoint, path)
        case _:
            from vgg16.checkpoint import write_checkpoint

            write_checkpoint(checkpoint, path)
    return file_format


def detect(path: Path) -> str:
    """The format of a file, from its content. Raises ``BadInput`` where it has none of ours."""
    expected = f"a file of one of the formats {', '.join(FORMATS)}"
    require_file(path, expected)
    try:
        with path.open("rb") as file:
            start = file.read(9)
        members = []
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", expected) from error
    except Exception as error:  # whatever zipfile raises on a damaged archive
        raise BadInput(path, f"a damaged archive ({error})", expected) from error
    if start.startswith(_HDF5_SIGNATURE):
        return "keras-weights-h5"
    if start.startswith(_PICKLE_SIGNATURE):
        return "torchvision"
    if any(name.endswith("/data.pkl") for name in members):
        return "torchvision"
    if start[8:] == b"{":
        return "safetensors"
    raise BadInput(path, "not a weights file", expected)


def _seeded(configuration: str, seed: str) -> Checkpoint:
    from vgg16.seeded import seeded_checkpoint

    if not (seed.isascii() and seed.isdigit()):
        raise BadInput("--weights", f"the seed is {seed!r}", "a whole number, as in seeded:3")
    with working(f"seeded checkpoint {configuration}"):
        return seeded_checkpoint(configuration, int(seed))


def _need_pytorch(path: Path) -> None:
    if find_spec("torch") is None:
        raise BadInput(path, "needs PyTorch, which is not installed", 'pip install -e ".[torch]"')


def _by_ending(path: Path) -> str:
    for file_format, ending in FORMATS.items():
        if path.name.endswith(ending):
            return file_format
    expected = f"one that ends in {', '.join(FORMATS.values())}, or --to"
    raise BadInput(path, "its name does not tell the format", expected)


def _check_format(file_format: str) -> str:
    if file_format not in FORMATS:
        known = ", ".join(FORMATS)
        raise BadInput("format", f"{file_format!r} is unknown", f"one of {known}")
    return file_format

"""Which format a file is in, by its content, or is to be in, by its name, and what reads it."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

from vgg16_spec.blocks import BLOCK_BYTES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.images.recipes import Recipe
from vgg16_weights import not_weights, safetensors
from vgg16_weights.archives import MANIFEST, members
from vgg16_weights.contents import (
    BlocksOf,
    Choices,
    Contents,
    DataFormat,
    arrangement,
    checkpoint_of,
)
from vgg16_weights.formats import FORMATS, Format, format_named
from vgg16_weights.onnx_files import begins_a_model
from vgg16_weights.tf import checkpoints, npy

# Three times the largest configuration. A larger file is read if the disk has all of it, as with a
# training run's state; a sparse one may claim terabytes, and looking at each byte would take a day.
_MOST_CLAIMED: Final = 1 << 31
_DISK_BLOCK: Final = 512
# Enough for every signature, and for what precedes the layers in a caffemodel.
_START_BYTES: Final = 1024
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_SIGNATURES: Final = {
    # PyTorch's own files from before 1.6.
    "torchvision": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    # Of any version since 5.
    "matconvnet": (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"),
    "npy": (npy.SIGNATURE,),
}


class FormatModule(Protocol):
    """A module of this package that knows one file format."""

    def read(self, path: Path) -> Contents:
        """What is in a file; each tensor is read when asked for.

        Raises ``BadInput``, or anything else for a file that is damaged.
        """

    def write(self, path: Path, checkpoint: Checkpoint, blocks_of: BlocksOf) -> None:
        """Fill a file that is there and empty; only where the format is ``writable``."""


def detect(path: str | os.PathLike[str]) -> str:
    """The format of a file, from its content.

    Raises ``BadInput`` for a file that is missing, cannot be read, or is in no format of ours.
    """
    path = checkpoints.file_named(Path(path))
    start = _start(path, "a weights file")
    if name := _format_of(path, start):
        return name
    not_weights.check_name(path)
    expected = f"one of the {len(FORMATS)} formats that docs/weights.md lists"
    raise BadInput(path, "not a weights file", expected)


def _start(path: Path, expected: str) -> bytes:
    """How a file begins. Raises ``BadInput`` for one that is certainly not a weights file."""
    not_weights.check_folder(path)
    _check_size(require_file(path, expected))
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", expected) from error
    not_weights.check(path, start)
    if refusal := not_weights.truncated(path, start):
        raise refusal
    return start


def _format_of(path: Path, start: bytes) -> str:
    """The format of a file that begins so; empty for one of none.

    Only what the content asks for is imported.
    """
    for name, signatures in _SIGNATURES.items():
        if start.startswith(signatures):
            return name
    if start.startswith(_HDF5):
        return _format_of_hdf5(path)
    if names := members(path):
        if any(name.endswith("/data.pkl") for name in names):
            return "torchvision"
        if names >= {"config.json", "model.weights.h5"}:
            return "keras"
        if refusal := not_weights.archive(path, names):
            raise refusal
        return "npz" if all(name.endswith(".npy") for name in names - {MANIFEST}) else ""
    if start[8:9] == b"{":
        return safetensors.format_of(path)
    if name := checkpoints.format_of(path):
        return name
    if begins_a_model(start):
        expected = "`vgg16 port`, or vgg16_parity.own_port.checkpoint_of, which read its weights"
        raise BadInput(path, "is an ONNX graph, not a weights file", expected)
    from vgg16_weights.legacy.caffemodel import begins_a_network

    return "caffemodel" if begins_a_network(start) else ""


def _format_of_hdf5(path: Path) -> str:
    """The format of an HDF5 file; that of Keras 3 for one of none, whose reader says what it is."""
    from vgg16_weights.keras import hdf5, legacy_h5, weights_h5
    from vgg16_weights.legacy import other_h5

    # Whatever HDF5 raises on a damaged file, its reader raises again, and says what of.
    with suppress(Exception), hdf5.opened(path) as file:
        if legacy_h5.lists_layers(file):
            return "keras-h5"
        if not weights_h5.has_variables(file) and (other := other_h5.format_of(file)):
            return other
    return "keras-weights-h5"


def read(
    path: str | os.PathLike[str],
    file_format: str | None = None,
    *,
    key: str | None = None,
    data_format: DataFormat | None = None,
    include_top: bool = True,
    recipe: Recipe | None = None,
) -> Checkpoint:
    """A weights file of any format as a checkpoint; each tensor is read when asked for.

    The configuration is found from the shapes of the convolutions. The metadata are those that
    `write` left in the file; without them the recipe is that of the format's best known weights.

    Args:
        path: the file.
        file_format: one of ``FORMATS``; found from the content unless given.
        key: the path or prefix of the one to read of several sets of weights in a file:
            ``state_dict_ema``.
        data_format: in what order a Keras model flattens its maps for fc1, for a file that does not
            say it; ``channels_last`` unless given.
        include_top: whether to read the classifier too; without it, any head is ignored.
        recipe: the preprocessing of the weights, in place of what the file states.

    Raises ``BadInput`` for a file that is missing, damaged or of another kind, or that needs a
    library that is not installed, and one that lists every tensor that does not fit.
    """
    return read_chosen(path, file_format, Choices(key, data_format, include_top, recipe))


def read_chosen(
    path: str | os.PathLike[str], file_format: str | None, choices: Choices
) -> Checkpoint:
    """`read`, with what the user decides as one record."""
    path = checkpoints.file_named(Path(path))
    chosen = format_named(file_format or detect(path))
    if file_format:
        _start(path, chosen.title)
    if not chosen.writable:
        chosen.require_library(path)
    if not chosen.module:
        return safetensors.read(path, chosen, choices)
    try:
        return checkpoint_of(_module(chosen).read(path), path, chosen, choices)
    except BadInput:
        raise
    except Exception as error:  # whatever the libraries raise on a damaged file
        reason = str(error) or type(error).__name__
        if "truncated" in reason:  # HDF5's words too, with addresses that help nobody
            raise not_weights.is_truncated(path) from error
        raise BadInput(path, f"cannot be used ({reason})", chosen.title) from error


def write(
    checkpoint: Checkpoint,
    path: str | os.PathLike[str],
    file_format: str | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> str:
    """Write a checkpoint block by block, with the metadata beside; its format.

    The format's own library loads what is written; the same values and metadata give the same
    bytes.

    Args:
        checkpoint: whose values and metadata to write.
        path: the file; what was there stays until the new one is whole.
        file_format: one of ``FORMATS``; found from the file's ending unless given.
        block_bytes: how large a block is at most.

    Raises ``BadInput`` for a format that is not written or needs a library that is not installed, a
    value that is not finite, metadata that are more than a file has room for, or a file that cannot
    be written.
    """
    path = Path(path)
    chosen = FORMATS[format_to_write(path, file_format)]
    chosen.require_library(path)
    checkpoint.metadata.check_writable(checkpoint.label)
    if not chosen.module:
        safetensors.write(checkpoint, path, chosen, block_bytes)
        return chosen.name
    with (
        whole_file(path) as temporary,
        checkpoint.finite_blocks(arrangement(checkpoint, chosen), block_bytes) as blocks_of,
    ):
        _module(chosen).write(temporary, checkpoint, blocks_of)
    return chosen.name


def format_to_write(path: str | os.PathLike[str], file_format: str | None = None) -> str:
    """The format in which `write` would write a file; raises ``BadInput`` as it does."""
    chosen = _by_ending(Path(path)) if file_format is None else format_named(file_format)
    if not chosen.writable:
        raise BadInput(
            "format",
            f"{chosen.name} can be read but not written",
            f"one of {', '.join(writable())}",
        )
    return chosen.name


def writable() -> tuple[str, ...]:
    """The formats that are written too."""
    return tuple(row.name for row in FORMATS.values() if row.writable)


def _module(file_format: Format) -> FormatModule:
    return cast(FormatModule, import_module(f"vgg16_weights.{file_format.module}"))


def _check_size(path: Path) -> None:
    stat = path.stat()
    # Windows does not say how much of a file is on the disk.
    there = _DISK_BLOCK * getattr(stat, "st_blocks", 0)
    if stat.st_size > max(_MOST_CLAIMED, 2 * there):
        problem = f"has {stat.st_size:,} bytes"
        if there:
            problem += f", of which {there:,} are on the disk"
        expected = f"the weights of a VGG; a sparse file may have {_MOST_CLAIMED:,} bytes at most"
        raise BadInput(path, problem, expected)


def _by_ending(path: Path) -> Format:
    by_ending = {ending: row for row in FORMATS.values() for ending in row.endings}
    # The longest first: .weights.h5 also ends in .h5.
    for ending in sorted(by_ending, key=len, reverse=True):
        if path.name.endswith(ending):
            return by_ending[ending]
    if path.suffix == ".onnx":
        way = f"vgg16 export --framework torch --weights SOURCE --out {path.name}"
        raise BadInput(path, "is an ONNX graph, not a weights file", way)
    known = ", ".join(ending for ending, row in by_ending.items() if row.writable)
    raise BadInput(path, "its name does not tell the format", f"one that ends in {known}, or --to")

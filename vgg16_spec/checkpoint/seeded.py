"""A deterministic checkpoint for any configuration and seed: what is used where none is given.

The bytes are the same on every platform and with every NumPy: they are built from the raw 64-bit
stream of the Philox generator (Salmon et al. 2011), which NumPy keeps stable, unlike the methods of
``numpy.random.Generator``, and from float32 products, which IEEE 754 rounds in one way only.
"""

from __future__ import annotations

import json
import math
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Configuration, Shape, configuration
from vgg16_spec.checkpoint.checkpoint import Checkpoint
from vgg16_spec.checkpoint.file import open_checkpoint, write_checkpoint
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.checkpoint.tensors import FLOAT32, Tensor
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.files.cache import cache_folder, check_own_file, ensure_folder
from vgg16_spec.files.digest import digest
from vgg16_spec.files.text import read_json, read_text

# Changes whenever the bytes for a configuration and seed do.
VERSION: Final = 1

_BIAS_BOUND: Final = 0.1
_BITS: Final = 24  # an odd integer of 24 bits and a sign is exact in float32
# An even number: each number of the stream gives two values.
_CHUNK_VALUES: Final = 1 << 20
_MOST_NOTE_BYTES: Final = 1 << 12


def seeded_checkpoint(name: str = "D", seed: int = 0) -> Checkpoint:
    """The seeded checkpoint of a configuration, made once and kept in the cache folder.

    The cache folder is the platform's (``platformdirs``), or ``VGG16_CACHE`` where that is set.

    Raises ``BadInput`` for an unknown configuration, a seed outside 0 to 2**64 - 1, or a cache
    folder that cannot be written.
    """
    checkpoint = generate(configuration(name), seed)
    folder = cache_folder()
    path = folder / f"seeded-{name}-{seed}-v{VERSION}.safetensors"
    try:
        found = open_checkpoint(path)
    except BadInput:
        pass  # not made yet, or damaged: made anew either way
    else:
        same = (found.metadata, found.configuration) == (
            checkpoint.metadata,
            checkpoint.configuration,
        )
        if same and _is_as_made(found, checkpoint, path):
            return found
    ensure_folder(folder)
    check_own_file(path)
    made = write_checkpoint(checkpoint, path)
    _note(path, digest(path))
    return made


def _is_as_made(found: Checkpoint, made: Checkpoint, path: Path) -> bool:
    """Whether a file has the digest with which it was made, or, where none is noted, the values.

    That is looked at once for each size, time and place of the file.
    """
    noted = _noted(path)
    if noted.get("file") == _identity(path):
        return True
    sha256 = digest(path)
    if "sha256" in noted:
        is_intact = bool(noted["sha256"] == sha256)
    else:
        # None of the values is zero or NaN: those that are equal have the same bits.
        is_intact = all(np.array_equal(found[name], made[name]) for name in made)
    if is_intact:
        with suppress(BadInput):  # a cache that is only read
            _note(path, sha256)
    return is_intact


def _noted(path: Path) -> dict[str, Any]:
    """What is noted of a file; nothing where there is no note, or none of ours."""
    try:
        noted = read_json(read_text(_note_of(path), "a note of ours", _MOST_NOTE_BYTES))
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) else {}


def _note(path: Path, sha256: str) -> None:
    """Note a file's digest, and which file it is, beside it."""
    note, identity = _note_of(path), _identity(path)
    check_own_file(note)
    with whole_file(note) as temporary:
        temporary.write_text(json.dumps({"sha256": sha256, "file": identity}), encoding="utf-8")


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _identity(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def generate(
    architecture: Configuration, seed: int = 0, *, chunk_values: int = _CHUNK_VALUES
) -> Checkpoint:
    """The same weights without a file; each tensor is computed when it is asked for.

    It is computed ``chunk_values`` at a time, an even number.

    Weights are uniform with the variance 2 / fan-in of He et al. (2015), so that activations keep
    their size through ReLU layers of any number; biases are uniform within 0.1. No value is zero.

    Raises ``BadInput`` for a seed outside 0 to 2**64 - 1.
    """
    if not 0 <= seed < 2**64:
        raise BadInput("seed", f"is {seed}", "0 to 2**64 - 1")
    tensors = {
        name: Tensor(shape, "float32", partial(_uniform, name, shape, seed, chunk_values))
        for name, shape in architecture.weight_shapes.items()
    }
    metadata = Metadata(
        recipe="torchvision",
        source=f"seeded (version {VERSION}, seed {seed})",
        source_format="seeded",
        licence="CC0-1.0",
    )
    return Checkpoint(architecture, metadata, tensors)


def is_seeded(checkpoint: Checkpoint) -> bool:
    """Whether the weights were never trained."""
    return checkpoint.metadata.source_format == "seeded"


def _uniform(name: str, shape: Shape, seed: int, chunk_values: int) -> NDArray[np.float32]:
    """Odd integers of [-2**24, 2**24] times bound / 2**24: symmetric, and never zero."""
    bound = _BIAS_BOUND if len(shape) == 1 else math.sqrt(6 / math.prod(shape[1:]))
    # The tensor's name selects the stream, so that its values do not depend on its neighbours.
    key = np.array([seed, zlib.crc32(name.encode())], np.uint64)
    stream = np.random.Philox(key=key)
    scale = np.float32(bound / 2**_BITS)
    values = np.empty(math.prod(shape), FLOAT32)
    for start in range(0, values.size, chunk_values):
        block = values[start : start + chunk_values]
        raw = np.asarray(stream.random_raw((block.size + 1) // 2), "<u8")
        bits = raw.view("<u4")[: block.size] >> (32 - _BITS)
        block[:] = 2 * bits.astype(np.int32) + (1 - 2**_BITS)
        block *= scale
    return values.reshape(shape)

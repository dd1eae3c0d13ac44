"""What a format's reader says of a file that it does not take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vgg16_weights
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput


def refusal(file_format: str, path: Path) -> str:
    """The one line with which a file of a format is refused."""
    with pytest.raises(BadInput) as error:
        read_whole(file_format, path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def read_whole(file_format: str, path: Path) -> Checkpoint:
    """A checkpoint of which every tensor has been read."""
    checkpoint = vgg16_weights.read(path, file_format)
    for name in checkpoint:
        assert checkpoint[name].shape == checkpoint.configuration.weight_shapes[name]
    return checkpoint


def survive_damage(
    file_format: str, whole: bytes, path: Path, seed: int, mutants: int = 300
) -> int:
    """Read a file with a few bytes changed, cut or doubled, many times; how many are still read.

    Anything but ``BadInput`` and a whole checkpoint ends the test.
    """
    random = np.random.default_rng(seed)
    changes: tuple[Callable[[bytearray, int], None], ...] = (
        lambda data, at: data.__setitem__(at, int(random.integers(256))),
        lambda data, at: data.__setitem__(at, 0xFF),
        lambda data, at: data.__setitem__(at, data[at] ^ (1 << int(random.integers(8)))),
        lambda data, at: data.__delitem__(slice(at, at + int(random.integers(1, 64)))),
        lambda data, at: data.__setitem__(slice(at, at), data[at : at + 16]),
    )
    # Headers are where damage hurts: half of the places are among the bytes that are no values.
    telling = np.flatnonzero(_is_text(whole))
    read = 0
    for _ in range(mutants):
        damaged = bytearray(whole)
        for _ in range(int(random.integers(1, 4))):
            anywhere = random.integers(2) or not len(telling)
            at = int(random.integers(len(damaged)) if anywhere else random.choice(telling))
            changes[int(random.integers(len(changes)))](damaged, min(at, len(damaged) - 1))
        path.write_bytes(damaged)
        with suppress(BadInput):
            read_whole(file_format, path)
            read += 1
    return read


def _is_text(data: bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether a byte stands among zeros or letters, as in headers and unlike in float32 values."""
    values = np.frombuffer(data, np.uint8)
    plain = (values == 0) | ((values >= 0x20) & (values < 0x7F))
    near = np.convolve(plain, np.ones(9), "same") >= 8
    return np.asarray(near)

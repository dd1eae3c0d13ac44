"""What lies in an archive is read to its last byte, however little is read at a time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from vgg16_spec.checkpoint import Tensor
from vgg16_spec.errors import BadInput
from vgg16_weights.archives import stored
from vgg16_weights.contents import is_rounded
from vgg16_weights.legacy import npz

CONTENT = bytes(range(1, 12))
# Of 11 bytes: one, a share that leaves a rest, all but one, all, and more.
PIECES = (1, 4, 10, 11, 12)


def archive(path: Path, content: bytes = CONTENT) -> zipfile.ZipInfo:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("member", content)
    with zipfile.ZipFile(path) as file:
        return file.getinfo("member")


@pytest.mark.parametrize("block_bytes", PIECES)
def test_a_stored_member_is_checked_to_its_last_byte(tmp_path: Path, block_bytes: int) -> None:
    path = tmp_path / "archive"
    member = archive(path)
    begin, content = stored(path, member, block_bytes)
    assert content.tobytes() == CONTENT
    whole = path.read_bytes()
    assert whole[begin : begin + len(CONTENT)] == CONTENT
    for place in range(len(CONTENT)):
        damaged = bytearray(whole)
        damaged[begin + place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="member is damaged: its checksum does not fit"):
            stored(path, member, block_bytes)


def test_a_member_that_is_not_all_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    member, size = archive(path), len(CONTENT)
    room = path.stat().st_size - stored(path, member)[0]
    for file_size, compress_size, flags in (
        (room + 1, room + 1, 0),  # beyond the archive's end
        (size, size - 1, 0),
        (size, size, 1),  # encrypted
    ):
        member = archive(path)
        member.file_size, member.compress_size = file_size, compress_size
        member.flag_bits = flags
        with pytest.raises(ValueError, match="member is incomplete"):
            stored(path, member)


@pytest.mark.parametrize("block_bytes", [1, 7, 40, 43, 44, 45])
def test_a_compressed_array_is_inflated_whole(tmp_path: Path, block_bytes: int) -> None:
    kernel, bias = np.arange(1, 12, dtype=np.float32).reshape(11, 1), np.ones(11, np.float32)
    with (tmp_path / "w.npz").open("wb") as file:
        np.savez_compressed(file, fc6_W=kernel, fc6_b=bias)
    found = npz.read(tmp_path / "w.npz", block_bytes).tensors
    assert found["fc6.weight"].view().tobytes() == kernel.tobytes()
    assert found["fc6.bias"].view().tobytes() == bias.tobytes()


# In bytes of float64, and in values: a block or a chunk of one, a rest, none left, more.
@pytest.mark.parametrize("block_bytes", [8, 24, 80, 88, 96])
@pytest.mark.parametrize("chunk_values", [1, 3, 11, 12])
def test_every_float64_value_is_looked_at(block_bytes: int, chunk_values: int) -> None:
    exact = np.array([0.0, -0.0, 1.5, -1e-45, 2.0, 3.0, np.inf, np.nan, 1.0, 7.0, 2.0**127])
    exact[3] = np.float64(np.float32(1e-45))

    def rounded(values: np.ndarray) -> bool:
        tensor = Tensor(values.shape, "float64", lambda: values)
        return is_rounded(
            "fc1.bias", tensor, "w.npz", block_bytes=block_bytes, chunk_values=chunk_values
        )

    assert not rounded(exact)
    for place in range(len(exact)):
        values = exact.copy()
        values[place] = 1 + 2.0**-40
        assert rounded(values)
        values[place] = 1e300
        with pytest.raises(BadInput, match=r"w\.npz: fc1\.bias has values beyond float32's range"):
            rounded(values)

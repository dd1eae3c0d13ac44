"""The seeded checkpoint is the same everywhere, and fit to show mistakes."""

from __future__ import annotations

import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from parity_tests.support.helpers import Batch, same
from parity_tests.support.tolerances import ACTIVATION_GROWTH, SEEDED_MEAN
from vgg16_parity.network import reference
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest, seeded
from vgg16_spec.errors import BadInput

# The bytes are a promise: a change of any of them needs a new seeded.VERSION.
SHA256 = {
    ("tiny", 0): "23e9825cd1e0ca6a7613bdd68e4123e9db31fbf9186227111b8a24330c0ecd63",
    ("tiny", 1): "28693e49ae72c22062273510db20512ac948a3fcd6c5999bfcaad67679927f5c",
    ("D", 0): "f4e2d1e678d5b1b2b6f7ca65340f5023969cdd732753c130551b63a41390169b",
}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_bytes_are_pinned(seed: int) -> None:
    assert digest(seeded.seeded_checkpoint("tiny", seed).file) == SHA256["tiny", seed]


@pytest.mark.full
def test_the_bytes_are_pinned_at_full_size(full: Checkpoint) -> None:
    assert digest(full.file) == SHA256["D", 0]


def test_a_value_by_hand() -> None:
    # The first 64-bit word of the stream keyed by the seed and the name's CRC-32: its lower half's
    # upper 24 bits, mapped to odd integers, times the He bound over 2 ** 24.
    name, fan_in = "block1_conv1.weight", 3 * 3 * 3
    word = int(np.random.Philox(key=np.array([5, 0xAF98AA97], np.uint64)).random_raw())
    odd = 2 * ((word & 0xFFFFFFFF) >> 8) + 1 - 2**24
    expected = np.float32(odd) * np.float32(math.sqrt(6 / fan_in) / 2**24)
    assert seeded.generate(configuration("D"), 5)[name].flat[0] == expected


def test_every_tensor_is_distinct_and_free_of_zeros(tiny: Checkpoint) -> None:
    for name, values in tiny.items():
        assert np.unique(values).size > 0.99 * values.size, name
        assert np.all(values != 0), name


def test_weights_have_he_variance_and_no_mean() -> None:
    checkpoint = seeded.generate(configuration("D"))
    for name in ("block3_conv2.weight", "predictions.weight"):
        values = checkpoint[name].astype(np.float64)
        fan_in = math.prod(values.shape[1:])
        deviation = math.sqrt(2 / fan_in)
        assert abs(values.mean()) < SEEDED_MEAN.limit * deviation / math.sqrt(values.size)
        assert abs(values.std() / deviation - 1) < SEEDED_MEAN.limit / math.sqrt(values.size)


def test_activations_keep_their_size_through_all_layers(tiny: Checkpoint, batch: Batch) -> None:
    taps = reference.run_with_taps(tiny, batch(tiny))
    sizes = [math.sqrt(np.mean(values**2)) for values in taps.values()]
    assert max(sizes) < ACTIVATION_GROWTH.limit * sizes[0]
    assert min(sizes) > sizes[0] / ACTIVATION_GROWTH.limit


def test_another_seed_changes_every_tensor(tiny: Checkpoint) -> None:
    other = seeded.generate(tiny.configuration, 1)
    assert all(not np.any(tiny[name] == other[name]) for name in tiny)


def test_a_checkpoint_says_that_it_is_seeded(tiny: Checkpoint) -> None:
    assert seeded.is_seeded(tiny)
    assert tiny.metadata.recipe == "torchvision"
    assert "seed 0" in tiny.metadata.source


def test_the_file_is_made_once(cache: Path) -> None:
    path = seeded.seeded_checkpoint("tiny", 7).file
    before = path.stat().st_mtime_ns
    assert seeded.seeded_checkpoint("tiny", 7).file == path
    assert path.stat().st_mtime_ns == before
    assert path.parent == cache


def test_a_damaged_file_in_the_cache_is_made_anew() -> None:
    good = seeded.seeded_checkpoint("tiny", 8)
    original = digest(good.file)
    good.file.write_bytes(good.file.read_bytes()[:5000])
    assert digest(seeded.seeded_checkpoint("tiny", 8).file) == original


def test_another_seeds_file_in_the_cache_is_made_anew() -> None:
    good, other = (seeded.seeded_checkpoint("tiny", seed).file for seed in (9, 10))
    original = digest(good)
    good.write_bytes(other.read_bytes())
    assert digest(seeded.seeded_checkpoint("tiny", 9).file) == original


def test_a_file_in_the_cache_with_one_value_changed_is_made_anew() -> None:
    good = seeded.seeded_checkpoint("tiny", 11)
    original = digest(good.file)
    content = bytearray(good.file.read_bytes())
    content[-1] ^= 1
    good.file.write_bytes(content)
    assert digest(seeded.seeded_checkpoint("tiny", 11).file) == original


def test_a_file_in_the_cache_is_looked_at_again_where_it_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its digest is computed for each size, time and place of the file, and no more often."""
    path = seeded.seeded_checkpoint("tiny", 12).file
    looked: list[Path] = []

    def look(each: Path) -> str:
        looked.append(each)
        return digest(each)

    monkeypatch.setattr(seeded, "digest", look)
    for _ in range(2):
        seeded.seeded_checkpoint("tiny", 12)
    assert looked == []
    before = path.stat()
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)
    for _ in range(2):
        seeded.seeded_checkpoint("tiny", 12)
    assert looked == [path]
    assert path.stat().st_mtime_ns == before.st_mtime_ns


NO_NOTES = [None, "", "[]", "{}", "[" * 4096, " " * 5000 + "{}"]


@pytest.mark.parametrize("note", [*NO_NOTES, '{"sha256": 1}'])
def test_a_changed_file_without_a_note_of_its_digest_is_made_anew(note: str | None) -> None:
    path = seeded.seeded_checkpoint("tiny", 13).file
    original = digest(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    leave(note, path)
    assert digest(seeded.seeded_checkpoint("tiny", 13).file) == original


def leave(note: str | None, path: Path) -> None:
    """Have this beside a file in place of its note, or nothing."""
    path.with_suffix(".json").unlink()
    if note is not None:
        path.with_suffix(".json").write_text(note)


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("note", NO_NOTES)
def test_a_right_file_without_a_note_is_kept(
    monkeypatch: pytest.MonkeyPatch, note: str | None, writable: bool
) -> None:
    """As of an earlier version, or in a cache that is only read."""
    path = seeded.seeded_checkpoint("tiny", 15).file
    identity = path.stat()
    leave(note, path)
    if not writable:
        monkeypatch.setattr(seeded, "whole_file", refuse)
    assert seeded.seeded_checkpoint("tiny", 15).file == path
    assert path.stat().st_mtime_ns == identity.st_mtime_ns
    assert path.stat().st_ino == identity.st_ino
    looked = (
        path.with_suffix(".json").is_file() and "sha256" in path.with_suffix(".json").read_text()
    )
    assert looked is writable


def refuse(path: Path) -> None:
    raise BadInput(path, "cannot be written")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes on Windows")
def test_a_pipe_in_the_place_of_the_note_is_not_waited_for() -> None:
    note = seeded.seeded_checkpoint("tiny", 14).file.with_suffix(".json")
    note.unlink()
    os.mkfifo(note)
    assert seeded.seeded_checkpoint("tiny", 14).path is not None
    assert note.is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no links on Windows")
def test_no_note_is_written_through_a_link(tmp_path: Path) -> None:
    note = seeded.seeded_checkpoint("tiny", 16).file.with_suffix(".json")
    note.unlink()
    (tmp_path / "mine").write_text("kept")
    note.symlink_to(tmp_path / "mine")
    assert seeded.seeded_checkpoint("tiny", 16).path is not None
    assert (tmp_path / "mine").read_text() == "kept"


def test_the_file_holds_what_generate_computes(tiny: Checkpoint) -> None:
    assert same(tiny, seeded.generate(tiny.configuration))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(BadInput, match=r"expected 0 to 2\*\*64 - 1"):
        seeded.seeded_checkpoint("tiny", seed)


def test_a_cache_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadInput, match="cache folder cannot be made"):
        seeded.seeded_checkpoint("tiny")

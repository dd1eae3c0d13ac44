"""Decoding runs ahead of the files by a few shards, whatever the number of images."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import pytest

from parity_tests.support.evaluation.images import dataset, jpegs
from vgg16_parity.evaluate import decoding
from vgg16_parity.evaluate.datasets.items import Item
from vgg16_parity.evaluate.folder import RunFolder
from vgg16_parity.evaluate.shards import SHARD, Shard, cut
from vgg16_spec.images.recipes import RECIPES

RECIPE = RECIPES["torchvision"]
SIZE = 32
# As many pictures again and again: what is read is counted, not what is in them.
CONTENTS = jpegs(SHARD)


@dataclass(frozen=True)
class Counted:
    """Counts how many pictures were read."""

    item: Item
    reads: list[str]

    def read(self) -> bytes:
        with LOCK:
            self.reads.append(self.item.name)
        return self.item.place.read()


LOCK = Lock()


def test_no_more_is_decoded_than_a_few_shards_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    counted = [replace(each, place=Counted(each, reads)) for each in dataset(CONTENTS * 8).items]
    shards = cut(counted, RECIPE, SIZE)
    for name in ("pixels", "shards"):
        (tmp_path / name).mkdir()
    ahead: list[int] = []
    written = RunFolder.write_unreadable

    def write(self: RunFolder, shard: Shard, found: object) -> None:
        # A slow disk: whatever may be decoded meanwhile is.
        before = -1
        while len(reads) > before:
            before = len(reads)
            time.sleep(0.2)
        ahead.append(len(reads) - SHARD * shard.index)
        written(self, shard, found)  # type: ignore[arg-type]

    monkeypatch.setattr(RunFolder, "write_unreadable", write)
    decoder = decoding.Decoder(RunFolder(tmp_path), RECIPE, SIZE)
    last = tmp_path / "pixels" / f"{shards[-1].name}.npy"
    with decoder.running(shards, tmp_path / "stop"):
        while not last.exists() and decoder.error is None:
            pass
    assert decoder.error is None
    assert len(ahead) == 8
    assert max(ahead) <= 3 * SHARD
    assert len(list((tmp_path / "pixels").iterdir())) == 8


def test_what_is_not_decoded_in_the_end_is_left(tmp_path: Path) -> None:
    reads: list[str] = []
    counted = [replace(each, place=Counted(each, reads)) for each in dataset(CONTENTS * 8).items]
    for name in ("pixels", "shards"):
        (tmp_path / name).mkdir()
    decoder = decoding.Decoder(RunFolder(tmp_path), RECIPE, SIZE)
    with decoder.running(cut(counted, RECIPE, SIZE), tmp_path / "stop"):
        pass
    assert len(reads) <= 4 * SHARD
    assert not (tmp_path / "stop").exists()
    assert not list(tmp_path.rglob(".*"))

"""Damaged data sets are read in part or refused, and nothing else happens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from parity_tests.support.datasets import CLASSES, LAYOUTS, picture
from vgg16_parity.evaluate.datasets.items import Item
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_spec.errors import BadInput

FILES = {
    "shards": "s-00.tar",
    "compressed shard": "s.tar.gz",
    "hugging face": "a.parquet",
    "binary column": "0.parquet",
    "list": "val.txt",
    "table": "labels.csv",
}


def damaged(whole: bytes, random: np.random.Generator) -> bytes:
    """The bytes with some changed, put in or cut."""
    data = bytearray(whole)
    for _ in range(int(random.choice([1, 2, 8]))):
        at = int(random.integers(len(data)))
        end, new = ((at + 1, 1), (at + 9, 12), (at + 600, 0))[int(random.integers(3))]
        data[at:end] = random.bytes(new)
        data = data or bytearray(b"x")
    return bytes(data)


def opened(path: Path, table: Path | None) -> tuple[Sequence[Item], str]:
    """The images, or the refusal."""
    try:
        return open_dataset(path, class_names=CLASSES, labels_csv=table).items, ""
    except BadInput as refusal:
        return (), str(refusal)


def digests(items: Sequence[Item]) -> list[str]:
    return [hashlib.sha256(item.place.read()).hexdigest() for item in items]


@pytest.mark.parametrize("layout", FILES)
def test_damage_is_told_or_refused(tmp_path: Path, layout: str, mutants: int) -> None:
    images = [(picture(seed), seed % 3) for seed in range(4)]
    path = LAYOUTS[layout](tmp_path / "set", images)
    file = tmp_path / "set" / FILES[layout]
    whole = file.read_bytes()
    random = np.random.default_rng(sum(layout.encode()))
    refused = 0
    for _ in range(mutants):
        file.write_bytes(damaged(whole, random))
        items, refusal = opened(path, file if layout == "table" else None)
        assert "\n" not in refusal
        assert bool(items) != bool(refusal)
        refused += bool(refusal)
        assert {item.label for item in items} <= {None, 0, 1, 2}
        # A thread of its own: no reader is open that knows the file as it was.
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(digests, items).result()
        assert found == [item.sha256 for item in items]
    assert 0 < refused < mutants

"""However images are kept, they are the same images with the same labels."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from time import sleep

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_tests.support.datasets import CLASSES, LAYOUTS, labelled, picture
from vgg16_parity.evaluate.datasets.items import Item
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_parity.evaluate.datasets.places import RangePlace

KINDS = {
    "folder": "folder",
    "nested": "folder",
    "table": "folder",
    "list": "list",
    "shards": "webdataset",
    "compressed shard": "webdataset",
    "hugging face": "parquet",
    "binary column": "parquet",
}


def table_of(layout: str, path: Path) -> Path | None:
    return path / "labels.csv" if layout == "table" else None


# Class 2 first: an order of appearance is another order.
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=4, max_size=9).map(lambda some: [2, 0, *some]))
def test_every_layout_has_the_same_labels_and_digests(classes: list[int]) -> None:
    images = [(picture(seed), index) for seed, index in enumerate(classes)]
    expected = {hashlib.sha256(image).hexdigest(): index for image, index in images}
    with tempfile.TemporaryDirectory() as folder:
        for layout, build in LAYOUTS.items():
            path = build(Path(folder) / layout, images)
            dataset = open_dataset(path, class_names=CLASSES, labels_csv=table_of(layout, path))
            assert labelled(dataset) == expected, layout
            assert dataset.kind == KINDS[layout]
            assert not dataset.duplicates
            assert not dataset.unreadable
            assert dataset.mapping
            assert len({item.name for item in dataset.items}) == len(images)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_places_give_the_bytes_of_the_digest_in_any_order(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout](tmp_path / "set", [(picture(s), s % 3) for s in range(7)])
    items = open_dataset(path, class_names=None).items
    assert len(items) == 7
    for item in (*items, *items[::-1], *items[::3]):
        assert hashlib.sha256(item.place.read()).hexdigest() == item.sha256


@pytest.mark.parametrize("layout", LAYOUTS)
def test_places_travel_to_other_processes(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout](tmp_path / "set", [(picture(s), s % 3) for s in range(4)])
    items = open_dataset(path, class_names=None).items
    assert pickle.loads(pickle.dumps(items)) == items


def read_digest(item: Item) -> str:
    return hashlib.sha256(item.place.read()).hexdigest()


@pytest.mark.slow
def test_another_process_reads_what_was_found_here(tmp_path: Path) -> None:
    paths = [b(tmp_path / n, [(picture(s), 0) for s in range(4)]) for n, b in LAYOUTS.items()]
    items = [item for p in paths for item in open_dataset(p, class_names=None).items]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        assert list(other.map(read_digest, items)) == [item.sha256 for item in items]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_that_is_there_twice_counts_once(tmp_path: Path, layout: str) -> None:
    images = [(picture(0), 0), (picture(1), 1), (picture(0), 0), (picture(1), 2)]
    path = LAYOUTS[layout](tmp_path / "set", images)
    dataset = open_dataset(path, class_names=CLASSES, labels_csv=table_of(layout, path))
    assert len(dataset.items) == 2
    same, other = sorted(dataset.duplicates, key=lambda skipped: len(skipped.reason))
    firsts = {hashlib.sha256(picture(s)).hexdigest(): s for s in range(2)}
    names = {firsts[item.sha256]: item.name for item in dataset.items}
    assert same.reason == f"has the bytes of {names[0]}"
    assert other.reason == f"has the bytes of {names[1]}, and another label"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_openings_give_the_same_data_set(tmp_path: Path, layout: str) -> None:
    path = LAYOUTS[layout](tmp_path / "set", [(picture(s), s % 3) for s in range(70)])
    first, second = (open_dataset(path, class_names=None) for _ in range(2))
    assert first == second


def test_an_interrupt_is_not_waited_for(tmp_path: Path) -> None:
    path = LAYOUTS["compressed shard"](tmp_path / "set", [(picture(s), 0) for s in range(40)])
    read = RangePlace.blocks
    count = 0

    def blocks(self: RangePlace) -> Iterator[bytes]:
        nonlocal count
        count += 1
        started.set()
        assert interrupted.wait(60)
        sleep(0.05)  # all 40 take two seconds
        return read(self)

    def interrupt(*_: object) -> None:
        started.wait(60)
        interrupted.set()
        raise KeyboardInterrupt

    started, interrupted = Event(), Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RangePlace, "blocks", blocks)
        patch.setattr(Future, "result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_dataset(path, class_names=None)
    assert count < 40


def test_what_has_been_read_is_told(tmp_path: Path) -> None:
    path = LAYOUTS["nested"](tmp_path / "set", [(picture(s), s % 3) for s in range(70)])
    told: list[tuple[int, int]] = []
    open_dataset(path, class_names=None, advance=lambda done, of: told.append((done, of)))
    assert told == [(32, 70), (64, 70), (70, 70)]

"""A node of a cluster decodes pictures as the plain engine does, from any storage."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.evaluation.images import dataset, jpegs
from parity_tests.support.evaluation.ports import port, work_in_process
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.places import FilePlace
from vgg16_parity.evaluate.engines.nodes import decoded, undecoded_row
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.evaluate.shards import Shard, cut
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.views import Views

CONTENTS = [*jpegs(4), b"none", *jpegs(3, seed=1)]


def stored(folder: Path) -> Dataset:
    """The pictures as files of a storage that fsspec reaches, in whatever process."""
    given = dataset(CONTENTS)
    for item in given.items:
        (folder / item.name).write_bytes(item.place.read())
    places = [FilePlace(f"local://{folder}", item.name) for item in given.items]
    pairs = zip(given.items, places, strict=True)
    return replace(given, items=tuple(replace(item, place=place) for item, place in pairs))


def row_of(shard: Shard) -> dict[str, Any]:
    return undecoded_row(shard.index, shard.key, shard.items)


@pytest.mark.parametrize("scales", [(), (70, 80)])
def test_the_pixels_are_the_plain_engines(
    scales: tuple[int, ...], tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in_process(monkeypatch)
    size = tiny.configuration.input_size
    views = Views(scales, crops=50, size=size) if scales else None
    images = stored(tmp_path)
    evaluate(images, tiny, [port(tmp_path)], tmp_path / "run", views=views, keep_pixels=True)
    (shard,) = cut(images.items, tiny.recipe, size, views)
    found = decoded(row_of(shard), tiny.recipe, size, views)
    (plain,) = (tmp_path / "run" / "pixels").glob("*.npy")
    assert found["pixels"] == plain.read_bytes()
    assert json.loads(found["unreadable"]) == {"4": "not a picture"}
    assert found["refusal"] == b""


def test_an_image_that_is_gone_and_another_pillow_are_refused(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = tiny.configuration.input_size
    (shard,) = cut(stored(tmp_path).items, tiny.recipe, size)
    (tmp_path / "6.jpg").unlink()
    refusal = pickle.loads(decoded(row_of(shard), tiny.recipe, size, None)["refusal"])
    assert isinstance(refusal, BadInput)
    assert "6.jpg" in str(refusal)
    monkeypatch.setattr("PIL.__version__", "0.1")
    refusal = pickle.loads(decoded(row_of(shard), tiny.recipe, size, None)["refusal"])
    assert "by another release of vgg16-parity or of Pillow" in str(refusal)

"""What an evaluation of views keeps: each picture once a scale, and every result."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from parity_tests.support.evaluation.images import dataset, encoded, jpegs
from parity_tests.support.evaluation.killed_run import results
from parity_tests.support.evaluation.ports import port
from parity_tests.support.evaluation.views import (
    DATASET,
    READABLE,
    RECIPE,
    SIZE,
    TORCH,
    log_posteriors,
)
from vgg16_parity.evaluate import decoding
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.pixels import prepared_for_views
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.evaluate.shards import SHARD, cut
from vgg16_parity.runtimes.shards import read_arrays, write_arrays
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import read_image, resize
from vgg16_spec.images.views import CROPS, MOST_PIXELS, Views

pytestmark = pytest.mark.usefixtures("jobs")


def test_views_are_computed_once_and_a_lost_shard_comes_back_with_its_bytes(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[str]
) -> None:
    monkeypatch.setattr("vgg16_parity.evaluate.shards._VIEWED_PIXELS", 3 * 80 * 80 * 3 // 2)
    run, views = tmp_path / "run", Views((80,), SIZE, flip=True)
    first = evaluate(DATASET, tiny, [TORCH], run, views=views)
    before = results(run)
    assert [entry.shape[0] for entry in first.runtimes[0].blocks()] == [3, 2, 2]
    assert not (run / "pixels").exists()
    assert evaluate(DATASET, tiny, [TORCH], run, views=views).runtimes[0].computed == 0
    assert len(jobs) == 1
    first.runtimes[0].files[1].unlink()
    again = evaluate(DATASET, tiny, [TORCH], run, views=views)
    assert again.runtimes[0].computed == 2
    assert results(run) == before


def test_a_runtime_added_later_reads_the_same_pictures(tiny: Checkpoint, tmp_path: Path) -> None:
    run, views = tmp_path / "run", Views((80,), SIZE, crops=CROPS)
    evaluate(DATASET, tiny, [port(tmp_path)], run, views=views)
    found = evaluate(DATASET, tiny, [port(tmp_path), TORCH], run, views=views)
    assert [entry.computed for entry in found.runtimes] == [0, len(READABLE)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Views((80,), SIZE), None),
        (None, Views((80,), SIZE)),
        (Views((80,), SIZE), Views((80,), SIZE, flip=True)),
        (Views((80,), SIZE), Views((81,), SIZE)),
        (Views((80,), SIZE), Views((80,), SIZE, crops=CROPS)),
    ],
)
def test_a_folder_of_other_views_is_refused_and_left_as_it_is(
    first: Views | None, second: Views | None, tiny: Checkpoint, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    evaluate(DATASET, tiny, [TORCH], run, views=first)
    before = results(run)
    with pytest.raises(BadInput, match=r"run: is a run of other views; expected a new folder"):
        evaluate(DATASET, tiny, [TORCH], run, views=second)
    assert results(run) == before


def test_scales_in_another_order_are_the_same_run(tiny: Checkpoint, tmp_path: Path) -> None:
    run = tmp_path / "run"
    evaluate(DATASET, tiny, [TORCH], run, views=Views((90, SIZE), SIZE))
    again = evaluate(DATASET, tiny, [TORCH], run, views=Views((SIZE, 90), SIZE))
    assert again.runtimes[0].computed == 0


def test_each_picture_is_stored_once_a_scale_whole_and_unflipped(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    run, scales = tmp_path / "run", (SIZE, 90)
    for name, views in {
        "flipped": Views(scales, SIZE, flip=True),
        "cropped": Views(scales, SIZE, crops=CROPS),
    }.items():
        run = tmp_path / name
        evaluate(DATASET, tiny, [TORCH], run, views=views, keep_pixels=True)
        (file,) = (run / "pixels").iterdir()
        stored = list(read_arrays(file))
        pictures = [
            np.asarray(resize(read_image(content), scale, RECIPE.resample))
            for content in READABLE
            for scale in scales
        ]
        assert len(stored) == len(pictures)
        assert all(map(np.array_equal, stored, pictures))
    # Which is the same file in both.
    first, second = (next((tmp_path / n / "pixels").iterdir()) for n in ("flipped", "cropped"))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_too_long_for_a_scale_is_named_and_the_others_are_computed(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    long = encoded(Image.new("RGB", (4500, 50)), "PNG")
    views = Views((SIZE, 200), SIZE)
    found = evaluate(dataset([long, *READABLE[:1]]), tiny, [TORCH], tmp_path / "run", views=views)
    reason = (
        "its longer side is 90.0 times the shorter one; "
        f"expected at most {MOST_PIXELS / 200**2:.1f} times at scale 200"
    )
    assert found.unreadable == (Skipped("0.jpg", reason),)
    assert len(log_posteriors(found)) == 1


def test_a_data_set_without_a_readable_picture_has_no_rows(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    found = evaluate(dataset([b"none"]), tiny, [TORCH], tmp_path / "run", views=Views((80,), SIZE))
    assert log_posteriors(found).shape == (0, 1000)


def test_shards_are_smaller_where_pictures_are_larger() -> None:
    items = dataset([b""] * 2 * SHARD).items

    def largest(views: Views | None) -> int:
        return max(len(shard.items) for shard in cut(items, RECIPE, 224, views))

    assert largest(None) == largest(Views((224,), 224)) == SHARD
    assert 1 < largest(Views((256, 384, 512), 224)) < SHARD
    assert largest(Views(tuple(range(1300, 1400)), 224)) == 1
    keys = [cut(items, RECIPE, 224, views)[0].key for views in (None, Views((224,), 224))]
    assert keys[0] != keys[1]


def test_few_large_pictures_are_in_memory_at_once(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, written, most = 0, 0, 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal made, most
        made += 1
        most = max(most, made - written)
        return prepared_for_views(*given, **named)

    def slowly(path: Path, arrays: Iterable[NDArray[Any]]) -> None:
        def each() -> Iterator[NDArray[Any]]:
            nonlocal written
            for array in arrays:
                time.sleep(0.02)
                yield array
                written += 1

        write_arrays(path, each())

    monkeypatch.setattr(decoding, "prepared_for_views", counted)
    monkeypatch.setattr(decoding, "write_arrays", slowly)
    monkeypatch.setattr(decoding, "_MOST_PIXELS_AHEAD", 4 * MOST_PIXELS)
    views = Views((80,), SIZE, crops=CROPS)
    evaluate(dataset(jpegs(20)), tiny, [port(tmp_path)], tmp_path / "run", views=views)
    assert (made, written) == (20, 20)
    # Four that wait, the one that is written, and the one whose place was just freed.
    assert most <= 6

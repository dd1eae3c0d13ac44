"""An evaluation averages posteriors over the views of each picture, and keeps what it computed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import torch_impl
from parity_tests.support.evaluation.images import dataset, encoded, jpegs
from parity_tests.support.evaluation.killed_run import results
from parity_tests.support.evaluation.ports import expected, port, work_in_process
from parity_tests.support.tolerances import FLOAT32_TAPS, FLOAT64
from vgg16_parity.evaluate import decoding
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.pixels import prepared_for_views
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.evaluate.shards import SHARD, cut
from vgg16_parity.evaluate.statistics import measure
from vgg16_parity.runtimes.registry import KNOWN
from vgg16_parity.runtimes.shards import NOT_DENSE, read_arrays, write_arrays
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import RECIPES, normalise, read_image, resize
from vgg16_spec.images.views import CROPS, MOST_PIXELS, Views
from vgg16_spec.logits import softmax, top

SIZE = 64
RECIPE = RECIPES["torchvision"]
# Sides that are no multiples of 32, upright and lying.
CONTENTS = [*jpegs(4, (70, 150)), b"none", *jpegs(3, (66, 90), seed=2)]
READABLE = [content for content in CONTENTS if content != b"none"]
DATASET = dataset(CONTENTS)
TORCH = KNOWN["torch"]
# What a picture's logits are computed by: preprocessed images (N, 3, H, W) -> (N, classes).
Compute = Callable[[NDArray[np.float32]], NDArray[Any]]


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What workers are to do, which this process does."""
    return work_in_process(monkeypatch)


def log_posteriors(measured: Measured, index: int = 0) -> NDArray[np.float64]:
    entry = measured.runtimes[index]
    assert entry.status == "measured", entry.reason
    found = entry.logits()
    assert found.dtype == np.float64
    return found.astype(np.float64)


def one_by_one(
    compute: Compute, scales: Sequence[int], *, flip: bool = False, crops: bool = False
) -> NDArray[np.float64]:
    """The posteriors by the paper's formula: each view of each picture by itself, and the mean."""
    rows = []
    for content in READABLE:
        posteriors = []
        for scale in scales:
            whole = np.asarray(resize(read_image(content), scale, RECIPE.resample))
            views = grid(whole) if crops else [whole]
            mirrored = [view[:, ::-1] for view in views] if flip or crops else []
            for view in [*views, *mirrored]:
                logits = compute(normalise(view[np.newaxis], RECIPE)).astype(np.float64)
                powers = np.exp(logits - logits.max())
                posteriors.append(powers[0] / powers.sum())
        rows.append(sum(posteriors) / len(posteriors))
    return np.stack(rows)


def grid(whole: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    height, width = (side - SIZE for side in whole.shape[:2])
    return [
        whole[top : top + SIZE, left : left + SIZE]
        for top in (round(height * step / 4) for step in range(5))
        for left in (round(width * step / 4) for step in range(5))
    ]


def densely(checkpoint: Checkpoint) -> Compute:
    dense = torch_impl.DenseVGG(torch_impl.VGG("tiny", weights=checkpoint).eval())
    return lambda images: torch_impl.run_densely(dense, images)


def apart(found: NDArray[np.float64], posteriors: NDArray[np.float64]) -> float:
    """How far log-posteriors are from posteriors, relative to the largest."""
    assert found.shape == posteriors.shape
    return float(np.abs(np.exp(found) - posteriors).max() / posteriors.max())


def test_one_view_of_the_networks_size_is_the_plain_evaluation(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    # A recipe that crops nothing of a square: what it computes is the whole picture.
    uncropped = tiny.with_recipe(replace(RECIPE, name="uncropped", resize=224))
    squares = dataset([encoded(read_image(each).crop((0, 0, 66, 66)), "PNG") for each in READABLE])
    plain, viewed = (
        evaluate(squares, uncropped, [TORCH], tmp_path / str(views), batch=1, views=views)
        for views in (None, Views((SIZE,), SIZE))
    )
    logits, found = plain.runtimes[0].logits(), log_posteriors(viewed)
    assert logits.dtype == np.float32
    assert np.abs(np.exp(found) - softmax(logits)).max() <= FLOAT64.limit
    assert np.array_equal(top(found, 5), top(logits, 5))


def test_an_evaluations_answers_are_those_of_the_posteriors(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    measured = evaluate(
        DATASET, tiny, [TORCH], tmp_path / "run", views=Views((SIZE, 90), SIZE, flip=True)
    )
    labels = [item.label for item in measured.items if item.label is not None]
    assert len(labels) == len(READABLE)
    names = [item.name for item in measured.items]
    said = measure(
        {"torch": measured.runtimes[0].blocks()}, labels, names, list(map(str, range(1000)))
    ).answers["torch"]
    posteriors = one_by_one(densely(tiny), (SIZE, 90), flip=True)
    assert np.array_equal(said.top5, np.argsort(-posteriors, axis=1)[:, :5])
    loss = -np.log(posteriors[np.arange(len(labels)), labels])
    assert np.abs(said.loss / loss - 1).max() <= FLOAT32_TAPS.limit
    assert np.abs(said.probability / posteriors.max(1) - 1).max() <= FLOAT32_TAPS.limit


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(70,), (SIZE, 77, 131)])
def test_whole_pictures_are_averaged_over_scales_and_flips(
    scales: tuple[int, ...], flip: bool, tiny: Checkpoint, tmp_path: Path
) -> None:
    views = Views(scales, SIZE, flip=flip)
    found = log_posteriors(evaluate(DATASET, tiny, [TORCH], tmp_path / "run", views=views))
    # A picture and its mirror image were computed together, and rounded otherwise.
    assert apart(found, one_by_one(densely(tiny), scales, flip=flip)) <= FLOAT32_TAPS.limit
    for other in (
        one_by_one(densely(tiny), scales, flip=not flip),
        one_by_one(densely(tiny), (*scales, 99), flip=flip),
    ):
        assert apart(found, other) > FLOAT32_TAPS.limit


def test_fifty_crops_are_averaged_in_a_runtime_of_the_networks_size_alone(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    views = Views((SIZE, 90), SIZE, crops=CROPS)
    found = evaluate(DATASET, tiny, [port(tmp_path)], tmp_path / "run", views=views)
    posteriors = one_by_one(expected, (SIZE, 90), crops=True)
    assert apart(log_posteriors(found), posteriors) <= FLOAT64.limit
    assert found.unreadable == (Skipped("4.jpg", "not a picture"),)
    assert found.runtimes[0].computed == len(READABLE)
    assert found.runtimes[0].images_per_second > 0


def test_fifty_crops_through_the_network(tiny: Checkpoint, tmp_path: Path) -> None:
    views = Views((90,), SIZE, crops=CROPS)
    found = log_posteriors(evaluate(DATASET, tiny, [TORCH], tmp_path / "run", views=views))
    assert apart(found, one_by_one(densely(tiny), (90,), crops=True)) <= FLOAT32_TAPS.limit


def test_a_runtime_of_one_size_is_not_run_on_whole_pictures(
    tiny: Checkpoint, tmp_path: Path, jobs: list[str]
) -> None:
    runtimes = [port(tmp_path), KNOWN["ncnn"], TORCH]
    found = evaluate(DATASET, tiny, runtimes, tmp_path / "run", views=Views((80,), SIZE))
    *others, last = found.runtimes
    assert [(entry.status, entry.reason) for entry in others] == [("not run", NOT_DENSE)] * 2
    assert "\n" not in NOT_DENSE
    assert last.status == "measured"
    assert [json.loads(job)["runtime"]["name"] for job in jobs] == ["torch"]


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


def test_views_are_of_the_networks_size(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="views of 224 pixels for a network of 64"):
        evaluate(DATASET, tiny, [TORCH], tmp_path / "run", views=Views((256,), 224))
    assert not (tmp_path / "run").exists()


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

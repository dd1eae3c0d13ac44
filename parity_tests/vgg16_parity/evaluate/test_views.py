"""An evaluation averages posteriors over the views of each picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import torch_impl
from parity_tests.support.evaluation.images import dataset, encoded
from parity_tests.support.evaluation.ports import expected, port
from parity_tests.support.evaluation.views import (
    DATASET,
    READABLE,
    RECIPE,
    SIZE,
    TORCH,
    log_posteriors,
)
from parity_tests.support.tolerances import FLOAT32_TAPS, FLOAT64
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.evaluate.statistics import measure
from vgg16_parity.runtimes.registry import KNOWN
from vgg16_parity.runtimes.shards import NOT_DENSE
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import normalise, read_image, resize
from vgg16_spec.images.views import CROPS, Views
from vgg16_spec.logits import softmax, top

pytestmark = pytest.mark.usefixtures("jobs")

# What a picture's logits are computed by: preprocessed images (N, 3, H, W) -> (N, classes).
Compute = Callable[[NDArray[np.float32]], NDArray[Any]]


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


def test_views_are_of_the_networks_size(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="views of 224 pixels for a network of 64"):
        evaluate(DATASET, tiny, [TORCH], tmp_path / "run", views=Views((256,), 224))
    assert not (tmp_path / "run").exists()

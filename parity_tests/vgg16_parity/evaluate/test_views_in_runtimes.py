"""Every runtime that can computes whole pictures, within the error that the arbiter predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export import export_onnx
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from parity_tests.support.evaluation.images import dataset, jpegs
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.network.dense import expect_dense_logits
from vgg16_parity.network.prediction import through_softmax
from vgg16_parity.runtimes.registry import KNOWN, onnx_file
from vgg16_parity.runtimes.shards import NOT_DENSE
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import normalise, read_image
from vgg16_spec.images.views import CROPS, Views, resized_to_scales, views_at_scale
from vgg16_spec.logits import softmax, top

pytestmark = pytest.mark.slow

# Sides that are no multiples of 32, upright and lying, each of its own proportion.
CONTENTS = jpegs(4, (70, 140))
DATASET = dataset(CONTENTS)
VIEWS = Views((64, 77, 101), 64, flip=True)
PARTS = Views((90,), 64, crops=CROPS)


def posteriors(measured: Measured) -> list[NDArray[np.float64]]:
    for entry in measured.runtimes:
        assert entry.status == "measured", f"{entry.name}: {entry.reason}"
    return [np.exp(entry.logits().astype(np.float64)) for entry in measured.runtimes]


def arbiters(
    checkpoint: Checkpoint, views: Views
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[float]]:
    """The posteriors in float64, the deviation of their errors, and the fewest independent ones.

    Those of two views of a picture are not independent: the mean's error is at most the mean error.
    """
    rows, deviations, fewest = [], [], []
    for content in CONTENTS:
        means: list[NDArray[np.float64]] = []
        errors: list[NDArray[np.float64]] = []
        least = np.inf
        for whole in resized_to_scales(read_image(content), checkpoint.recipe, views):
            images = normalise(views_at_scale(whole, views), checkpoint.recipe)
            logits, deviation, independent = expect_dense_logits(checkpoint, images)
            means.extend(softmax(logits))
            errors.extend(through_softmax(logits, deviation, softmax(logits)))
            least = min(least, *independent)
        assert len(means) == views.count
        rows.append(np.mean(means, axis=0))
        deviations.append(np.mean(errors, axis=0))
        fewest.append(float(least))
    return np.stack(rows), np.stack(deviations), fewest


def judge(
    found: NDArray[np.float64], expected: tuple[NDArray[Any], NDArray[Any], list[float]]
) -> Verdict:
    values, deviation, fewest = expected
    return compare_with_arbiter(found, values, deviation, independent=fewest.__getitem__)


def test_every_runtime_averages_the_same_views_and_a_lost_shard_comes_back_with_its_bytes(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    names = ("torch", "onnx-from-torch", "keras-tensorflow", "keras-jax", "keras-torch")
    runtimes = [KNOWN[name] for name in (*names, "onnx-from-keras", "keras-openvino")]
    first = evaluate(DATASET, tiny, runtimes, tmp_path / "run", views=VIEWS)
    expected = arbiters(tiny, VIEWS)
    for entry, found in zip(first.runtimes, posteriors(first), strict=True):
        verdict = judge(found, expected)
        assert verdict.passed, f"{entry.name}: {verdict.reason}"
        assert np.array_equal(top(found, 1), top(expected[0], 1))
        assert {"run", "load", "wait"} <= entry.seconds.keys()
    lost = [entry.files[0] for entry in first.runtimes[:3]]
    before = [file.read_bytes() for file in lost]
    for file in lost:
        file.unlink()
    again = evaluate(DATASET, tiny, runtimes, tmp_path / "run", views=VIEWS)
    assert [entry.computed for entry in again.runtimes] == [len(CONTENTS)] * 3 + [0] * 4
    assert [file.read_bytes() for file in lost] == before


def test_other_views_are_beyond_the_predicted_error(tiny: Checkpoint, tmp_path: Path) -> None:
    other = Views(VIEWS.scales, 64)
    found = evaluate(DATASET, tiny, [KNOWN["torch"]], tmp_path / "run", views=other)
    assert not judge(posteriors(found)[0], arbiters(tiny, VIEWS)).passed


def test_engines_compute_crops_as_frameworks_do_and_no_whole_pictures(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    engines = [KNOWN["opencv"], KNOWN["litert"]]
    runtimes = [KNOWN["keras-jax"], KNOWN["onnx-from-torch"], *engines]
    cropped = evaluate(DATASET, tiny, runtimes, tmp_path / "crops", views=PARTS)
    expected = arbiters(tiny, PARTS)
    for entry, found in zip(cropped.runtimes, posteriors(cropped), strict=True):
        verdict = judge(found, expected)
        assert verdict.passed, f"{entry.name}: {verdict.reason}"
    whole = evaluate(DATASET, tiny, engines, tmp_path / "whole", views=VIEWS)
    assert [(e.status, e.reason) for e in whole.runtimes] == [("not run", NOT_DENSE)] * 2


def test_dense_files_of_vgg16_export_are_evaluated_as_they_are(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    options: dict[str, dict[str, Any]] = {
        "dense.onnx": {},
        "bundle": {},
        "uint8.onnx": {"input": "uint8"},
        "nhwc.onnx": {"layout": "nhwc"},
        "four.onnx": {"batch": 4},
        "likely.onnx": {"output": "probabilities"},
        "fp16": {"precision": "fp16"},
    }
    for name, chosen in options.items():
        export_onnx("torch", tiny, tmp_path / name, dense=True, test_data=False, **chosen)
    export_onnx("torch", tiny, tmp_path / "plain.onnx", test_data=False)
    runtimes = [onnx_file(tmp_path / name) for name in (*options, "plain.onnx")]
    found = evaluate(DATASET, tiny, runtimes, tmp_path / "run", views=VIEWS)
    *dense, plain = found.runtimes
    assert (plain.status, plain.reason) == ("not run", NOT_DENSE)
    expected = arbiters(tiny, VIEWS)
    for entry in dense:
        assert entry.status == "measured", f"{entry.name}: {entry.reason}"
        verdict = judge(np.exp(entry.logits()), expected)
        # A few digits of float16: judged by the top class below.
        assert verdict.passed != (entry.flags["precision"] == "fp16"), entry.name + verdict.reason
        assert np.array_equal(top(entry.logits(), 1), top(expected[0], 1))
    # They are evaluated on the recipe's one crop too.
    cropped = evaluate(DATASET, tiny, runtimes, tmp_path / "plain")
    assert [entry.status for entry in cropped.runtimes] == ["measured"] * len(runtimes)
    whole = Views((90,), 64, crops=CROPS)
    parts = evaluate(DATASET, tiny, runtimes, tmp_path / "crops", views=whole)
    assert judge(np.exp(parts.runtimes[-1].logits()), arbiters(tiny, whole)).passed

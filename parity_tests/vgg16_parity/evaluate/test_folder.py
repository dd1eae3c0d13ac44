"""An evaluation's folder: what it keeps, and what is no such folder."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parity_tests.support.evaluation.ports import expected, port
from parity_tests.support.evaluation.runs import (
    DATASET,
    IN_LAST,
    files,
    logits,
    prepared,
)
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.text import visible

pytestmark = pytest.mark.usefixtures("jobs")


@pytest.mark.parametrize("keep", [True, False])
def test_pixels_are_kept_where_asked_and_nothing_is_left(
    keep: bool, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    run = tmp_path / "run"
    evaluate(DATASET, tiny, [port(tmp_path)], run, keep_pixels=keep)
    kinds = ["results"] * 2 + ["run.json"] + ["shards"] * 2 + ["timings"]
    assert sorted(name.split("/")[0] for name in files(run)) == ["pixels"] * 2 * keep + kinds
    assert not list((tmp_path / "scratch").iterdir())


def test_what_a_dead_writer_left_beside_a_whole_result_goes(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = evaluate(DATASET, tiny, [port(tmp_path)], run)
    before, file = files(run), first.runtimes[0].files[0]
    for suffix in ("lock", "tmp"):
        (file.parent / f".{file.name}.0123abcd.{suffix}").write_text("half")
        (run / f".run.json.0123abcd.{suffix}").write_text("half")
    assert evaluate(DATASET, tiny, [port(tmp_path)], run).runtimes[0].computed == 0
    assert files(run) == before


def test_results_of_other_settings_lie_beside_each_other(tiny: Checkpoint, tmp_path: Path) -> None:
    run, ours = tmp_path / "run", port(tmp_path)
    evaluate(DATASET, tiny, [ours], run)
    evaluate(DATASET, tiny, [ours], run, batch=8)
    evaluate(DATASET, tiny, [ours], run, lane=LANES["default"])
    changed = port(tmp_path, more="logits *= 2")
    found = evaluate(DATASET, tiny, [changed], run)
    assert len(files(run, "results")) == 8
    assert np.array_equal(logits(found), 2 * expected(prepared(tiny)))


def test_other_labels_and_names_keep_the_results(tiny: Checkpoint, tmp_path: Path) -> None:
    run, ours = tmp_path / "run", port(tmp_path)
    evaluate(DATASET, tiny, [ours], run)
    renamed = tuple(replace(each, name=f"x{each.name}", label=3) for each in DATASET.items)
    names = [str(index) for index in range(1000)]
    found = evaluate(replace(DATASET, items=renamed), tiny.with_labels(names), [ours], run)
    assert found.runtimes[0].computed == 0
    assert [each.name for each in found.unreadable] == ["x40.jpg", "x81.jpg"]


@pytest.mark.parametrize("other", ["weights", "recipe", "images"])
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(
    other: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    evaluate(DATASET, tiny, [port(tmp_path)], run)
    before = files(run)
    checkpoint = {"weights": seeded_checkpoint("tiny", 1), "recipe": tiny.with_recipe("caffe")}
    images = replace(DATASET, items=DATASET.items[:-1]) if other == "images" else DATASET
    with pytest.raises(BadInput, match=rf"run: is a run of (an)?other {other}; expected a new"):
        evaluate(images, checkpoint.get(other, tiny), [port(tmp_path)], run)
    assert files(run) == before


def test_folders_that_are_no_runs_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    for name, problem in {
        "file": "is no folder",
        "file/run": "cannot be made",
        "none/run": "cannot be made",
        "nul\0": "cannot be made",
        "mine": r"holds thesis\.tex and no run\.json",
        "damaged/run.json": "is not what an evaluation has written",
    }.items():
        with pytest.raises(BadInput, match=rf"{re.escape(visible(name))}: {problem}"):
            evaluate(DATASET, tiny, [port(tmp_path)], tmp_path / name.removesuffix("/run.json"))
    assert files(tmp_path / "mine").keys() == {"thesis.tex"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no such locks on Windows")
def test_a_folder_in_use_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    import fcntl

    run = tmp_path / "run"
    evaluate(DATASET, tiny, [port(tmp_path)], run)
    with (run / "run.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match=r"run: is in use by another evaluation"):
            evaluate(DATASET, tiny, [port(tmp_path)], run)
    assert evaluate(DATASET, tiny, [port(tmp_path)], run).runtimes[0].computed == 0


def test_a_damaged_result_is_named(tiny: Checkpoint, tmp_path: Path) -> None:
    found = evaluate(DATASET, tiny, [port(tmp_path)], tmp_path / "run")
    file = found.runtimes[0].files[1]
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(BadInput, match=r"000001-\w+\.npy: is damaged"):
        found.runtimes[0].logits()
    np.save(file, np.zeros((IN_LAST, 3), np.float32))
    with pytest.raises(BadInput, match=r"has float32 of shape \(27, 3\)"):
        found.runtimes[0].logits()

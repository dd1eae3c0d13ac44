"""An evaluation computes every image in every runtime once, and keeps what it computed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.evaluation.images import dataset, jpegs
from parity_tests.support.evaluation.ports import expected, port, work_in_process
from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import preprocess, read_image
from vgg16_spec.text import visible

# Two shards, with pictures that are none in both.
CONTENTS = [*jpegs(40), b"", *jpegs(40, seed=1), b"none", *jpegs(10, seed=2)]
READABLE = [content for content in CONTENTS if len(content) > 4]
DATASET = dataset(CONTENTS)
IN_LAST = 27


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What workers are to do, which this process does."""
    return work_in_process(monkeypatch)


def files(folder: Path, under: str = "") -> dict[str, str]:
    """Path -> digest of every file of a run, hidden ones too."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / under).rglob("*"))
        if path.is_file()
    }


def logits(measured: Measured, index: int = 0) -> Any:
    assert measured.runtimes[index].status == "measured", measured.runtimes[index].reason
    return measured.runtimes[index].logits()


def prepared(checkpoint: Checkpoint) -> Any:
    size = checkpoint.configuration.input_size
    images = [preprocess(read_image(each), checkpoint.recipe, size=size) for each in READABLE]
    return np.concatenate(images)


def test_every_readable_image_has_its_logits_in_order(tiny: Checkpoint, tmp_path: Path) -> None:
    found = evaluate(DATASET, tiny, [port(tmp_path)], tmp_path / "run")
    assert np.array_equal(logits(found), expected(prepared(tiny)))
    assert [item.sha256 for item in found.items] == [sha256(c).hexdigest() for c in READABLE]
    assert found.unreadable == tuple(Skipped(f"{n}.jpg", "not a picture") for n in (40, 81))
    (entry,) = found.runtimes
    assert entry.computed == len(READABLE)
    assert entry.images_per_second > 0
    assert found.decode_seconds > 0


def test_the_recipe_is_the_checkpoints_also_where_its_file_states_another(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    other = tiny.with_recipe("caffe")
    found = evaluate(DATASET, other, [port(tmp_path)], tmp_path / "run")
    assert np.array_equal(logits(found), expected(prepared(other)))


def test_batches_have_at_most_so_many_images(tiny: Checkpoint, tmp_path: Path) -> None:
    sizes = port(tmp_path, more="logits[:] = len(images)")
    found = evaluate(DATASET, tiny, [sizes], tmp_path / "run", batch=20)
    # 63 and 27 images can be read.
    batches = [20, 20, 20, 3, 20, 7]
    assert logits(found)[:, 0].tolist() == [size for size in batches for _ in range(size)]


@pytest.mark.parametrize("batch", [0, 65])
def test_a_batch_is_of_one_shard(batch: int, tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"^batch: is {batch}; expected 1 to 64$"):
        evaluate(DATASET, tiny, [port(tmp_path)], tmp_path / "run", batch=batch)
    assert not (tmp_path / "run").exists()


def test_what_is_there_is_not_computed_again(
    tiny: Checkpoint, tmp_path: Path, jobs: list[str]
) -> None:
    run, ours = tmp_path / "run", port(tmp_path)
    first = evaluate(DATASET, tiny, [ours], run)
    before, last = files(run), first.runtimes[0].files[-1]
    again = evaluate(DATASET, tiny, [ours], run)
    assert len(jobs) == 1
    assert files(run) == before
    assert (again.runtimes[0].computed, again.runtimes[0].images_per_second) == (0, 0)
    assert again.runtimes[0].versions == first.runtimes[0].versions
    assert again.unreadable == first.unreadable
    assert np.array_equal(logits(again), logits(first))
    last.unlink()
    resumed = evaluate(DATASET, tiny, [ours], run)
    assert resumed.runtimes[0].computed == IN_LAST
    assert files(run, "results") == {k: v for k, v in before.items() if k.startswith("results")}


def test_a_runtime_added_later_computes_only_its_own(
    tiny: Checkpoint, tmp_path: Path, jobs: list[str]
) -> None:
    run, ours, added = tmp_path / "run", port(tmp_path), port(tmp_path, "added", more="logits += 1")
    evaluate(DATASET, tiny, [ours], run)
    found = evaluate(DATASET, tiny, [ours, added], run)
    assert [entry.computed for entry in found.runtimes] == [0, len(READABLE)]
    assert [json.loads(job)["runtime"]["name"] for job in jobs] == ["thinned:run", "added:run"]
    assert np.array_equal(logits(found, 1), logits(found) + 1)


def test_pictures_are_decoded_once_for_all_runtimes(tiny: Checkpoint, tmp_path: Path) -> None:
    reads: list[str] = []

    @dataclass(frozen=True)
    class Counted:
        item: Item

        def read(self) -> bytes:
            reads.append(self.item.name)
            return self.item.place.read()

    counted = replace(DATASET, items=tuple(replace(e, place=Counted(e)) for e in DATASET.items))
    runtimes = [port(tmp_path), port(tmp_path, "second")]
    evaluate(counted, tiny, runtimes, tmp_path / "run")
    assert sorted(reads) == sorted(item.name for item in DATASET.items)
    # One shard is lacking: its pictures alone are read again.
    reads.clear()
    next((tmp_path / "run" / "results" / "second_run").glob("000001-*")).unlink()
    evaluate(counted, tiny, runtimes, tmp_path / "run")
    assert sorted(reads) == sorted(item.name for item in DATASET.items[64:])


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


def test_a_runtime_that_cannot_compute_is_a_record_and_the_others_go_on(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    missing = replace(
        RUNTIMES["torch"], name="gone", backend=None, engine="ncnn", framework="torch"
    )
    runtimes = [
        port(tmp_path, "broken", more="raise ValueError('no kernel')"),
        port(tmp_path, "nan", more="logits[-1, 7] = np.nan"),
        port(tmp_path, "short", more="logits = logits[:, 1:]"),
        missing,
        port(tmp_path),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "vgg16_parity.runtimes.registry.find_spec", lambda name: name != "ncnn" or None
        )
        found = evaluate(DATASET, tiny, runtimes, tmp_path / "run")
    *others, last = found.runtimes
    assert [entry.status for entry in others] == ["failed", "failed", "failed", "not run"]
    assert others[0].reason == "ValueError: no kernel"
    assert "1 of its 16000 values are not finite" in others[1].reason
    assert "its shape is (16, 999), the arbiter's is (16, 1000)" in others[2].reason
    assert others[3].reason.startswith("ncnn is not installed: pip install")
    assert not any(entry.files for entry in others)
    assert np.array_equal(logits(found, 4), expected(prepared(tiny)))
    assert last.computed == len(READABLE)


def test_an_image_that_is_gone_ends_the_run_and_what_is_computed_stays(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    class Gone:
        def read(self) -> bytes:
            raise BadInput("99.jpg", "no such file")

    *first, last = DATASET.items
    gone = replace(DATASET, items=(*first, replace(last, place=Gone())))
    run = tmp_path / "run"
    with pytest.raises(BadInput, match=r"^99\.jpg: no such file"):
        evaluate(gone, tiny, [port(tmp_path)], run)
    assert len(files(run, "results")) == 1
    assert evaluate(DATASET, tiny, [port(tmp_path)], run).runtimes[0].computed == IN_LAST


def test_progress_counts_images_of_each_runtime(tiny: Checkpoint, tmp_path: Path) -> None:
    shown: dict[str, list[tuple[int, int | None]]] = {}

    @contextmanager
    def counting(stage: str, things: str) -> Iterator[Any]:
        assert things == "images"
        shown[stage] = []
        yield lambda done, total: shown[stage].append((done, total))

    runtimes = [port(tmp_path, pause=0.1), port(tmp_path, "second")]
    evaluate(DATASET, tiny, runtimes, tmp_path / "run", counting=counting)
    assert list(shown) == ["thinned:run", "second:run"]
    total = len(CONTENTS)
    first, *between, last = shown["thinned:run"]
    assert (first, last) == ((0, total), (total, total))
    assert any(0 < done < total for done, _ in between)


def test_a_name_occurs_once(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^runtimes: thinned:run is there twice"):
        evaluate(DATASET, tiny, [port(tmp_path)] * 2, tmp_path / "run")


def test_a_damaged_result_is_named(tiny: Checkpoint, tmp_path: Path) -> None:
    found = evaluate(DATASET, tiny, [port(tmp_path)], tmp_path / "run")
    file = found.runtimes[0].files[1]
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(BadInput, match=r"000001-\w+\.npy: is damaged"):
        found.runtimes[0].logits()
    np.save(file, np.zeros((IN_LAST, 3), np.float32))
    with pytest.raises(BadInput, match=r"has float32 of shape \(27, 3\)"):
        found.runtimes[0].logits()

"""An evaluation computes every image in every runtime once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.evaluation.ports import expected, port
from parity_tests.support.evaluation.runs import (
    CONTENTS,
    DATASET,
    IN_LAST,
    READABLE,
    files,
    logits,
    prepared,
)
from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.usefixtures("jobs")


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

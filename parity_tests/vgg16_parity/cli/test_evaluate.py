"""``vgg16 evaluate``: what it prints, what it leaves, and how it ends."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.evaluation.images import jpegs
from parity_tests.support.evaluation.ports import port, work_in_process
from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint

REPORTS = {"evaluation.json", "evaluation.html", "answers.csv"}


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers' jobs are done by this process."""
    work_in_process(monkeypatch)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten class folders with two pictures each, one of which is none, and a copy."""
    root, contents = tmp_path / "pictures", jpegs(20)
    for number, content in enumerate(contents):
        folder = root / str(number % 10)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(content)
    (root / "3" / "torn.jpg").write_bytes(contents[0][:300])
    (root / "4" / "copy.jpg").write_bytes(contents[0])
    return root


@pytest.fixture
def run(vgg16: Command, tiny: Checkpoint, tmp_path: Path, pictures: Path) -> Any:
    """The command with a port, on the pictures, into ``RUN``."""

    def made(*options: object, more: str = "pass", explain: int = 0) -> Any:
        own = port(tmp_path, more=more).port
        chosen = ("--port", own, "--explain", explain, "--weights", tiny.file)
        return vgg16("evaluate", pictures, "--out", tmp_path / "RUN", *chosen, *options)

    return made


def test_it_prints_a_table_and_leaves_three_reports(run: Any, tmp_path: Path) -> None:
    done = run()
    assert done.status == 0, done.err
    assert done.out.splitlines()[0].split() == [
        "runtime", "status", "top-1", "95", "%", "top-5", "95", "%", "loss", "images",
        "images/s", "GB",
    ]  # fmt: skip
    assert "1 image left out as unreadable: 3/torn.jpg" in done.out
    assert "1 image left out as copies of others: 4/copy.jpg" in done.out
    assert {path.name for path in (tmp_path / "RUN").iterdir()} >= REPORTS
    document = json.loads((tmp_path / "RUN" / "evaluation.json").read_text())
    assert (document["images"], document["labelled"]) == (20, 20)
    with (tmp_path / "RUN" / "answers.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + 20


def test_json_is_the_report_itself(run: Any, tmp_path: Path) -> None:
    done = run("--json")
    document = json.loads(done.out)
    stored = json.loads((tmp_path / "RUN" / "evaluation.json").read_text())
    assert document == stored


def test_a_second_run_computes_nothing_and_says_the_same(run: Any, tmp_path: Path) -> None:
    def results() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "RUN").rglob("*.npy")}

    first, before = json.loads(run("--json").out), results()
    again = json.loads(run("--json").out)
    assert before
    assert results() == before
    same = ("images", "labelled", "disputes", "pairs", "unreadable", "duplicates", "weights_sha256")
    assert [first[key] for key in same] == [again[key] for key in same]


def test_wrong_logits_end_with_status_1_whatever_the_answers(run: Any) -> None:
    # The port is another network than the weights', which nobody notices without the arbiter.
    assert run(explain=0).status == 0
    done = run(explain=5)
    assert done.status == 1
    assert "Rounding does not explain the logits of thinned:run." in done.out.splitlines()[-1]


def test_a_port_that_fails_ends_with_status_1(run: Any) -> None:
    done = run(more="raise RuntimeError('it broke')")
    assert done.status == 1
    assert "it broke" in done.out


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (("--batch", "65"), "batch"),
        (("--lane", "none"), "lane"),
        (("--device", "tpu"), "--device"),
        (("--timeout", "0"), "--timeout"),
        (("--runtimes", "none"), "runtime"),
        (("--onnx", "none.onnx"), "none.onnx"),
        (("--labels-csv", "none.csv"), "none.csv"),
        (("--engine", "dask"), "--engine"),
        (("--address", "auto"), "--address"),
        (("--ray-cpus", "2"), "--ray-cpus"),
        (("--flip",), "--flip"),
        (("--scales", "64"), "--scales"),
        (("--dense", "--scales", "64,b"), "--scales"),
        (("--dense", "--scales", "32"), "--scales"),
        (("--dense", "--crops", "50"), "--dense"),
        (("--crops", "10"), "--crops"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Any, tmp_path: Path, options: tuple[str, ...], refused: str
) -> None:
    done = run(*options)
    assert done.status == 2
    assert refused in done.err.splitlines()[-1]
    assert done.out == ""
    assert not (tmp_path / "RUN").exists()


def test_a_run_of_other_weights_is_refused_and_left_as_it_is(
    run: Any, vgg16: Command, tmp_path: Path, pictures: Path
) -> None:
    run()
    before = {path: path.read_bytes() for path in (tmp_path / "RUN").rglob("*") if path.is_file()}
    other = ("--configuration", "tiny", "--weights", "seeded:1", "--runtimes", "torch")
    done = vgg16("evaluate", pictures, "--out", tmp_path / "RUN", *other)
    assert done.status == 2
    assert str(tmp_path / "RUN") in done.err.splitlines()[-1]
    assert before == {
        path: path.read_bytes() for path in (tmp_path / "RUN").rglob("*") if path.is_file()
    }


def test_what_others_publish_is_only_shown_for_their_weights(run: Any) -> None:
    document = json.loads(run("--published", "--json").out)
    assert document["published"] == []  # the tiny network has no such figures


def test_crops_are_averaged_and_the_report_says_so(run: Any) -> None:
    whole = json.loads(run("--crops", "50", "--scales", "70,90", "--json").out)
    assert whole["view"] == "50 crops, scales 70, 90"
    assert whole["runtimes"][0]["status"] == "measured"


def test_a_port_cannot_take_whole_pictures_and_says_so(run: Any) -> None:
    done = run("--dense", "--flip")
    assert done.status == 1
    assert "takes images of the network's own size only" in done.out

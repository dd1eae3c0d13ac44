"""What moved between two reports, and the options that ask for it."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnx_arbiter.limits import LIMITS
from parity_tests.support.helpers import Command
from parity_tests.support.pages.reports import everything, report, row
from vgg16_parity.report.diff import MOVED, diff_reports
from vgg16_parity.report.files import write_files
from vgg16_parity.report.json import Document, to_json
from vgg16_parity.report.schema import decode
from vgg16_spec.images.photographs import PHOTOGRAPHS

Change = Callable[[dict[str, Any]], None]
CAT = PHOTOGRAPHS[0].path
QUICK = ("--configuration", "tiny", "--runtimes", "torch", "--quick", "--images", CAT)


def moved(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    """The changes between two documents, as lines."""
    return list(map(str, diff_reports(decode(Document, older), decode(Document, newer))))


def lines(change: Change) -> list[str]:
    """What moved where a report that holds was changed."""
    older = to_json(report())
    newer = copy.deepcopy(older)
    change(newer)
    return moved(older, newer)


def first(document: dict[str, Any], kind: str = "accumulated") -> dict[str, Any]:
    """The first row's first tap."""
    verdict: dict[str, Any] = document["rows"][0]["cases"][0]["layers"][0][kind]
    return verdict


def test_nothing_moved_where_nothing_is_different() -> None:
    for made in (report(), everything()):
        assert diff_reports(Document.of(made), Document.of(made)) == []


def test_times_and_memory_do_not_count() -> None:
    def change(newer: dict[str, Any]) -> None:
        newer["arbiter"]["seconds"] *= 3
        newer["rows"][0]["record"] |= {"seconds": {"run": 99.0}, "peak_bytes": 1}

    assert lines(change) == []


@pytest.mark.parametrize("kind", ["accumulated", "local"])
@pytest.mark.parametrize("figure", ["ratio", "deviations"])
@pytest.mark.parametrize("up", [True, False])
def test_a_tap_moved_where_a_figure_changed_by_more_than_the_factor(
    kind: str, figure: str, up: bool
) -> None:
    def by(factor: float) -> list[str]:
        def change(newer: dict[str, Any]) -> None:
            first(newer, kind)[figure] *= factor if up else 1 / factor

        return lines(change)

    assert by(MOVED.limit * 0.99) == []
    (line,) = by(MOVED.limit * 1.01)
    assert line.startswith(f"torch (strict): block1_conv1, {kind} {figure}: ")


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.75 → 0"), (None, "0.75 → ∞")])
def test_from_and_to_zero_and_infinity_is_a_move(value: float | None, text: str) -> None:
    (line,) = lines(lambda newer: first(newer).update(ratio=value))
    assert line.endswith(text)
    older, newer = to_json(report()), to_json(report())
    first(older)["ratio"] = value
    assert len(moved(older, newer)) == 1
    first(newer)["ratio"] = value
    assert moved(older, newer) == []


def test_rows_that_appeared_vanished_or_changed_status() -> None:
    older = Document.of(report(row(), row("keras-jax"), row("keras-torch")))
    absent = row("keras-jax", status="not run", cases=(), record=None)
    newer = Document.of(report(row(lane="default"), absent))
    assert list(map(str, diff_reports(older, newer))) == [
        "torch (default): appeared: none → holds",
        "keras-jax (strict): status: holds → not run",
        "torch (strict): vanished: holds → none",
        "keras-torch (strict): vanished: holds → none",
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda newer: newer["rows"][0]["record"]["versions"].update(torch="2.16.0"),
            "torch (strict): version of torch: 2.15.0 → 2.16.0",
        ),
        (
            lambda newer: newer["rows"][0]["record"]["flags"].clear(),
            "torch (strict): flag deterministic_algorithms: True → none",
        ),
        (
            lambda newer: newer["rows"][0]["record"].update(threads=1),
            "torch (strict): threads: 2 → 1",
        ),
        (lambda newer: newer.update(device="cuda"), "run: device: cpu → cuda"),
        (
            lambda newer: newer["weights"].update(path="other.safetensors"),
            "weights: path: tiny.safetensors → other.safetensors",
        ),
        (
            lambda newer: newer["weights"]["metadata"].update(recipe="caffe"),
            "weights: recipe: torchvision → caffe",
        ),
        (
            lambda newer: newer["limits"].update(ratio=1.0),
            f"run: limit of ratio: {LIMITS.ratio.limit} → 1.0",
        ),
        (
            lambda newer: newer["cases"][0]["images"][0].update(label="dog.png"),
            "case photographs: image 0, label: chelsea.png → dog.png",
        ),
        (
            lambda newer: newer["cases"][0]["images"][0].update(top5=[7]),
            "case photographs: image 0, top5: 281, 282, 285, 287, 292 → 7",
        ),
        (
            lambda newer: newer["cases"][0]["images"].pop(),
            "case photographs: image 0, label: chelsea.png → none",
        ),
        (
            lambda newer: newer["cases"].append({"name": "noise", "images": []}),
            "case noise: appeared: none → noise",
        ),
        (
            lambda newer: newer["rows"][0]["cases"][0]["decisions"][0].update(outcome="inside"),
            "torch (strict): photographs, image 0: decision: agrees → inside",
        ),
        (
            lambda newer: newer["rows"][0]["cases"][0]["layers"].pop(),
            "torch (strict): predictions, accumulated: ratio 0.5 → none",
        ),
    ],
)
def test_what_was_set_up_otherwise_is_told(change: Change, line: str) -> None:
    assert line in lines(change)


def test_a_kind_that_one_report_alone_has_is_one_line() -> None:
    older, newer = to_json(report()), to_json(report())
    for layer in newer["rows"][0]["cases"][0]["layers"]:
        layer["local"] = None
    newer["rows"][0]["gradients"] = to_json(everything())["rows"][-1]["gradients"]
    assert moved(older, newer) == [
        "torch (strict): local: 2 compared → none",
        "torch (strict): gradient: none → 2 compared",
        "torch (strict): parameter: none → 1 compared",
        "torch (strict): velocity: none → 1 compared",
    ]


def test_a_gradient_moves_as_a_tap_does() -> None:
    older = to_json(everything())
    newer = copy.deepcopy(older)
    newer["rows"][-1]["gradients"][0]["velocity"]["ratio"] *= 2
    assert moved(older, newer) == ["torch (default): predictions.weight, velocity ratio: 0.3 → 0.6"]


def test_the_factor_says_why() -> None:
    assert math.isfinite(MOVED.limit)
    assert len(MOVED.reason) > 100


@pytest.mark.slow
def test_the_same_run_again_has_not_moved(vgg16: Command, tmp_path: Path) -> None:
    old, page = tmp_path / "old.json", tmp_path / "page.html"
    assert vgg16("parity", *QUICK, "--report", old).status == 0
    again = vgg16("parity", *QUICK, "--against", old, "--html", page)
    assert (again.status, again.out.splitlines()[-1]) == (0, f"Since {old}: nothing moved.")
    assert "Nothing moved." in page.read_text("utf-8")
    # The older report may be written anew.
    document = json.loads(old.read_text("utf-8"))
    document["rows"][0]["record"]["threads"] += 1
    old.write_text(json.dumps(document), "utf-8")
    third = vgg16("parity", *QUICK, "--against", old, "--report", old, "--json")
    (move,) = json.loads(third.out)["moved"]
    assert (third.status, move["what"]) == (0, "threads")
    assert json.loads(old.read_text("utf-8")) == json.loads(third.out)


def test_an_older_report_that_is_none_is_refused_before_the_run(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_running(monkeypatch)
    old = tmp_path / "old.json"
    for content in ("no JSON", '{"schema": "vgg16-parity-report/1"}'):
        old.write_text(content, "utf-8")
        done = vgg16("parity", *QUICK, "--against", old)
        assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert f"vgg16: {old}: " in done.err
    assert vgg16("parity", *QUICK, "--against", tmp_path / "none.json").status == 2


@pytest.mark.parametrize("option", ["--report", "--html", "--junit"])
def test_a_report_that_cannot_be_written_is_refused_before_the_run(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    forbid_running(monkeypatch)
    done = vgg16("parity", *QUICK, option, tmp_path / "none" / "file")
    assert done.status == 2
    assert "no such folder" in done.err


def test_two_options_that_name_one_file_are_refused_before_the_run(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_running(monkeypatch)
    (tmp_path / "link.html").symlink_to(tmp_path / "one")
    for other in ("one", "./one", "link.html"):
        named = ("--report", tmp_path / "one", "--html", f"{tmp_path}/{other}")
        done = vgg16("parity", *QUICK, *named)
        assert done.status == 2
        assert "--html: " in done.err
        assert "is also --report" in done.err


def test_a_report_is_not_written_over_an_input(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_running(monkeypatch)
    picture = tmp_path / "cat.png"
    picture.write_bytes(CAT.read_bytes())
    done = vgg16("parity", "--configuration", "tiny", "--images", picture, "--html", picture)
    assert done.status == 2
    assert "is also an input" in done.err
    assert picture.read_bytes() == CAT.read_bytes()


def test_a_name_that_is_no_utf_8_is_written_as_an_escape(tmp_path: Path) -> None:
    cases = report().cases
    image = dataclasses.replace(cases[0].images[0], label="\udcff.png")
    made = report(cases=(dataclasses.replace(cases[0], images=(image,)),))
    files = {"--report": tmp_path / "a.json", "--html": tmp_path / "a.html"}
    write_files(files | {"--junit": tmp_path / "a.xml"}, made)
    document = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert document["cases"][0]["images"][0]["label"] == "\udcff.png"


def forbid_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        pytest.fail("the run began")

    monkeypatch.setattr("vgg16_parity.run.run_parity", run)

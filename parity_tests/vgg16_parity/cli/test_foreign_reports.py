"""What others named shows in every form of a report, and a program reads it exactly."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

import pytest

from parity_tests.support.foreign_text import NAME, is_shown, unseen
from parity_tests.support.helpers import Command
from parity_tests.support.pages.reports import everything
from vgg16_parity.records import Report
from vgg16_parity.report import json as report_json
from vgg16_parity.report.diff import diff_reports
from vgg16_parity.report.explain import explain
from vgg16_parity.report.files import write_files
from vgg16_parity.report.json import Document
from vgg16_parity.report.schema import read
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")


CAT: Final = PHOTOGRAPHS[0].path


FILES: Final = ("--report", "--html", "--junit")


# The arrays of a port with names of its own, and a port that fails.
PORTS: Final = {
    "an error": "raise ValueError({text!r})",
    "a tap": "return {{{text!r}: images, 'predictions': np.ones((1, 1000))}}",
}


def foreign(value: Any, field: str = "") -> Any:
    """A report in which every text that others choose is hostile."""
    if dataclasses.is_dataclass(value):
        changed = {
            each.name: foreign(getattr(value, each.name), each.name)
            for each in dataclasses.fields(value)
        }
        return dataclasses.replace(cast(Any, value), **changed)
    if isinstance(value, tuple):
        return tuple(foreign(each, field) for each in value)
    if isinstance(value, dict):
        return {f"{NAME}{name}": foreign(each, field) for name, each in value.items()}
    return f"{NAME}{value}" if isinstance(value, str) and field not in OWN else value


# What this project alone chooses, and the labels and recipe that a checkpoint has checked.
OWN: Final = ("status", "outcome", "repeats", "labels", "preprocessing", "recipe")


def test_every_form_of_a_report_is_seen_and_the_older_one_is_read_exactly(tmp_path: Path) -> None:
    report: Report = foreign(everything())
    changes = diff_reports(Document.of(everything()), Document.of(report))
    assert len(changes) > 10
    files = {option: tmp_path / option[2:] for option in FILES}
    write_files(files, report, (), changes)
    for path in files.values():
        text = path.read_text("utf-8")
        assert not unseen(text, allowed="\n\t"), path
        assert "[red]" in text
    assert read(files["--report"]) == Document.of(report, changes)
    assert ElementTree.fromstring(files["--junit"].read_bytes()).tag == "testsuites"
    for row in report.rows:
        assert not unseen(explain(row))


@pytest.mark.parametrize("body", PORTS.values(), ids=PORTS)
def test_a_port_of_any_name_is_judged_and_reported(
    vgg16: Command, stating: Path, tmp_path: Path, body: str
) -> None:
    port, picture = tmp_path / f"{NAME}.py", Path(shutil.copy(CAT, tmp_path / f"{NAME}.png"))
    lines = ("import numpy as np", "def run(images, weights):", f"    {body.format(text=NAME)}")
    port.write_text("\n".join(lines))
    older = tmp_path / f"{NAME}.older"
    older.write_text(report_json.text(foreign(everything())), encoding="utf-8")
    files = {option: tmp_path / f"{NAME}.{option[2:]}" for option in FILES}
    done = vgg16(
        *("parity", "--quick", "--weights", stating, "--images", picture, "--port", f"{port}:run"),
        *(each for pair in files.items() for each in pair),
        *("--against", older),
    )
    is_shown(done, 1)
    for path in files.values():
        text = path.read_text("utf-8")
        assert not unseen(text, allowed="\n\t")
        assert "[red]" in text
    document = read(files["--report"])
    assert document.rows[0].runtime == f"{port.stem}:run"
    assert [image.label for image in document.cases[0].images] == [picture.name]

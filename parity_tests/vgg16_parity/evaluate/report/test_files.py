"""An evaluation's files are written whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parity_tests.support.pages.evaluations import evaluation, statistics
from vgg16_parity.evaluate.report import answers, html
from vgg16_parity.evaluate.report.files import write_files
from vgg16_parity.evaluate.report.json import to_json
from vgg16_spec.errors import BadInput


def test_three_files_hold_the_evaluation(tmp_path: Path) -> None:
    found = statistics()
    made = evaluation(found)
    written = write_files(tmp_path, made, found)
    names = ["evaluation.json", "evaluation.html", "answers.csv"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert json.loads(written[0].read_text("utf-8")) == to_json(made)
    assert written[1].read_text("utf-8") == html.page(made)
    assert len(written[2].read_text("utf-8").splitlines()) == 121


def test_a_write_that_fails_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = statistics()
    write_files(tmp_path, evaluation(found), found)
    before = (tmp_path / "answers.csv").read_bytes()

    def half(_found: object, path: Path) -> None:
        path.write_text("image,lab")
        raise RuntimeError

    monkeypatch.setattr(answers, "write", half)
    with pytest.raises(RuntimeError):
        write_files(tmp_path, evaluation(found), found)
    assert (tmp_path / "answers.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_is_missing_is_one_line(tmp_path: Path) -> None:
    found = statistics()
    with pytest.raises(BadInput, match="no such folder"):
        write_files(tmp_path / "gone", evaluation(found), found)

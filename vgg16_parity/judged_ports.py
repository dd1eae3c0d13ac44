"""What a test run has judged: sent from test processes as text, written as one set of reports."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from vgg16_parity.records import Report, to_json
from vgg16_parity.report import html, junit
from vgg16_spec.files.atomic import whole_file

_Record = TypeVar("_Record")

# The files of a run that judged by one checkpoint; of a second one they are called report-2.json….
REPORT: Final = "report"
JUNIT: Final = "junit"


@dataclass(frozen=True)
class JudgedPort:
    """One port, judged in one test.

    Attributes:
        test: pytest's id of the test.
        number: how many ports the test had judged before.
        report: a report with the port's row alone.
        pictures: the files that it was run on.
    """

    test: str
    number: int
    report: Report
    pictures: tuple[str, ...]

    def to_text(self) -> str:
        """As JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> JudgedPort:
        """The inverse of `to_text`."""
        return _rebuilt(cls, json.loads(text))


def write(judged: Sequence[JudgedPort], folder: Path) -> list[Path]:
    """Write JSON, HTML and JUnit reports into a folder, one of each for a checkpoint and batch.

    Rows are in the order of the tests' ids, however many processes ran them. Each file is either
    whole or as it was. Returns what was written.

    Raises ``BadInput`` where a file cannot be written.
    """
    groups: dict[str, list[JudgedPort]] = {}
    for one in sorted(judged, key=lambda one: (one.test, one.number)):
        report = one.report
        key = json.dumps([asdict(report.weights), [asdict(case) for case in report.cases]])
        groups.setdefault(key, []).append(one)
    written: list[Path] = []
    for number, key in enumerate(sorted(groups), 1):
        group = groups[key]
        report = _together([one.report for one in group])
        suffix = "" if number == 1 else f"-{number}"
        document = json.dumps(to_json(report), indent=2, ensure_ascii=False, allow_nan=False)
        page = html.page(report, [Path(file) for file in group[0].pictures])
        writers: dict[str, Callable[[Path], object]] = {
            f"{REPORT}{suffix}.json": _text(document + "\n"),
            f"{REPORT}{suffix}.html": _text(page),
            f"{JUNIT}{suffix}.xml": lambda path, report=report: junit.write(report, path),  # type: ignore[misc]
        }
        for name, writer in writers.items():
            with whole_file(folder / name) as temporary:
                writer(temporary)
            written.append(folder / name)
    return written


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _together(reports: Sequence[Report]) -> Report:
    """One report with the rows of all; the arbiter ran once in each process."""
    return replace(
        reports[0],
        rows=tuple(row for report in reports for row in report.rows),
        arbiter_seconds=max(report.arbiter_seconds for report in reports),
        peak_bytes=max(report.peak_bytes for report in reports),
    )


def _rebuilt(kind: type[_Record], values: dict[str, Any]) -> _Record:
    """A dataclass from what ``dataclasses.asdict`` and JSON have made of it."""
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], entry) for entry in value)
    is_record = isinstance(hint, type) and dataclasses.is_dataclass(hint)
    return _rebuilt(hint, value) if is_record else value

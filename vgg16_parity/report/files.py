"""The files that a report is written to, and the older report that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable, whole_file

if TYPE_CHECKING:
    from vgg16_parity.records import Report
    from vgg16_parity.report.json import Change, Document


def check_files(
    files: Mapping[str, Path], inputs: Iterable[Path], against: Path | None
) -> Document | None:
    """Find out before the run what would fail after it, and read the older report.

    Args:
        files: option -> where to write: ``--report``, ``--html``, ``--junit``.
        inputs: the files that the run reads.
        against: an older JSON document, which ``--report`` may overwrite.

    Raises:
        BadInput: for a file that cannot be written, has two options or is an input, and for an
            older report that cannot be read.
    """
    taken = {path.resolve(): "an input" for path in inputs}
    for option, path in files.items():
        if against is not None and option != "--report":
            taken.setdefault(against.resolve(), "--against")
        if (other := taken.setdefault(path.resolve(), option)) != option:
            raise BadInput(option, f"{path} is also {other}", "a file of its own")
        check_writable(path)
    if against is None:
        return None
    from vgg16_parity.report.schema import read

    return read(against)


def write_files(
    files: Mapping[str, Path],
    report: Report,
    pictures: Sequence[Path] = (),
    moved: Sequence[Change] | None = None,
) -> None:
    """Write each file whole, or leave it as it was.

    ``pictures`` are the files of the report's photographs, ``moved`` the changes since an older
    report. Raises ``BadInput`` if a file cannot be written.
    """
    from vgg16_parity.report import html, json, junit

    texts: dict[str, Callable[[], str]] = {
        "--report": lambda: json.text(report, moved),
        "--html": lambda: html.page(report, pictures, moved),
        "--junit": lambda: junit.text(report),
    }
    for option, path in files.items():
        with whole_file(path) as temporary:
            # A file's name need not be UTF-8; JSON reads the escape back.
            temporary.write_text(texts[option](), encoding="utf-8", errors="backslashreplace")

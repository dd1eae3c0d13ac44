"""The files that a report is written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable, whole_file

if TYPE_CHECKING:
    from onnx_arbiter.judge.records import Report


def check_files(files: Mapping[str, Path], inputs: Iterable[Path]) -> None:
    """Find out before the work what would fail after it.

    Args:
        files: option -> where to write.
        inputs: the files that the run reads.

    Raises:
        BadInput: a file cannot be written, has two options or is an input.
    """
    taken = {path.resolve(): "an input" for path in inputs}
    for option, path in files.items():
        if (other := taken.setdefault(path.resolve(), option)) != option:
            raise BadInput(option, f"{path} is also {other}", "a file of its own")
        check_writable(path)


def write_files(files: Mapping[str, Path], report: Report) -> None:
    """Write ``--html`` and ``--junit``, each whole, or leave it as it was.

    Raises ``BadInput`` if a file cannot be written.
    """
    from onnx_arbiter.report import html, junit

    texts: dict[str, Callable[[Report], str]] = {"--html": html.page, "--junit": junit.text}
    for option, path in files.items():
        with whole_file(path) as temporary:
            temporary.write_text(texts[option](report), encoding="utf-8")

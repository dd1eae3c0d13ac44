"""What is written is on the disk before it has its name.

Every file that the project writes goes through ``whole_file`` or ``whole_folder``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest

import vgg16_weights
from export import export_onnx
from parity_tests.support.failing.durability import problems, recorded
from parity_tests.support.pages.reports import report
from parity_tests.support.weights.fetching import CONTENT, RECORD
from parity_tests.support.weights.server import serve
from vgg16_parity import drawing
from vgg16_parity.network import search
from vgg16_parity.report.files import write_files
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.files.atomic import whole_folder
from vgg16_weights.detection import writable
from vgg16_weights.published import fetch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

# Writes into a folder, and returns what was written.
Writer = Callable[[Path, Checkpoint], Path]


def ported(name: str) -> Writer:
    def write(folder: Path, tiny: Checkpoint) -> Path:
        vgg16_weights.write(tiny, folder / "w", name)
        return folder / "w"

    return write


def exported(name: str, **options: str) -> Writer:
    def write(folder: Path, tiny: Checkpoint) -> Path:
        if options.get("weights_file") == "shared":
            tiny = vgg16_weights.read(ported("safetensors")(folder, tiny))
        export_onnx("torch", tiny, folder / name, test_data=False, **options)  # type: ignore[arg-type]
        return folder / name

    return write


def reported(option: str) -> Writer:
    def write(folder: Path, tiny: Checkpoint) -> Path:
        write_files({option: folder / "report"}, report())
        return folder / "report"

    return write


def drawn(name: str) -> Writer:
    def write(folder: Path, tiny: Checkpoint) -> Path:
        drawing.draw(folder / name, "tiny", kind="table")
        return folder / name

    return write


def seeded(folder: Path, tiny: Checkpoint) -> Path:
    return seeded_checkpoint("tiny", seed=3).file


def searched(folder: Path, tiny: Checkpoint) -> Path:
    search.searched(tiny)
    (found,) = folder.glob("searched-*.npz")
    return found


def fetched(folder: Path, tiny: Checkpoint) -> Path:
    with serve() as server, pytest.MonkeyPatch.context() as patch:
        server.files[RECORD.file] = CONTENT
        patch.setenv("VGG16_MIRROR", server.url)
        patch.delenv("VGG16_OFFLINE", raising=False)
        return fetch.fetch(RECORD)


def in_folders(folder: Path, tiny: Checkpoint) -> Path:
    with whole_folder(folder / "outer") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "content").write_text("new")
    return folder / "outer"


WRITERS: Final[dict[str, Writer]] = {
    "a folder in a folder": in_folders,
    **{name: ported(name) for name in writable()},
    "one graph": exported("m.onnx"),
    "a graph beside its weights": exported("m.onnx", weights_file="shared"),
    "a bundle": exported("bundle"),
    "a report": reported("--report"),
    "a page": reported("--html"),
    "a report for CI": reported("--junit"),
    "a drawing": drawn("d.svg"),
    "a drawing of pixels": drawn("d.png"),
    "seeded weights": seeded,
    "searched inputs": searched,
    "fetched weights": fetched,
}


@pytest.mark.parametrize("what", WRITERS)
def test_everything_is_on_the_disk_before_it_has_its_name_and_the_name_after_it(
    tiny: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path))
    monkeypatch.setattr(search, "search", lambda _: np.ones((1, 3, 64, 64), np.float32))
    with recorded() as steps:
        written = WRITERS[what](tmp_path, tiny)
    assert problems(steps, written) == []

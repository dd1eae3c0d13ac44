"""Whatever others wrote reaches no stream and no report as anything but text that can be seen.

Each test is one place that text comes from: a name, a file's content, a variable, a server. It goes
through the commands that show it; what they print, and every file that they write, is looked at.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import onnx
import pytest
import torch
from markdown_it import MarkdownIt
from safetensors.numpy import load_file, save_file

from parity_tests.support.foreign_text import HOSTILE, NAME, is_refused, is_shown, unseen
from parity_tests.support.helpers import Command
from parity_tests.support.pages.reports import everything
from vgg16_parity.report import json as report_json
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")


CAT: Final = PHOTOGRAPHS[0].path


def safetensors(folder: Path, tiny: Checkpoint) -> Path:
    save_file({f"{HOSTILE}{name}": np.ones(3) for name in tiny}, folder / "w.safetensors")
    return folder / "w.safetensors"


def pth(folder: Path, tiny: Checkpoint) -> Path:
    torch.save({f"{NAME}{name}": torch.ones(3) for name in tiny}, folder / "w.pth")
    return folder / "w.pth"


def npz(folder: Path, tiny: Checkpoint) -> Path:
    arrays: dict[str, Any] = {f"{HOSTILE}{name}": np.ones(3) for name in tiny}
    np.savez(folder / "w.npz", **arrays)
    return folder / "w.npz"


def h5(folder: Path, tiny: Checkpoint) -> Path:
    del tiny
    with h5py.File(folder / "w.h5", "w") as file:
        file[f"layers/{HOSTILE}/vars/0"] = np.ones((3, 3, 3, 4), np.float32)
    return folder / "w.h5"


def configuration(folder: Path, tiny: Checkpoint) -> Path:
    stated = {"format": "vgg16-checkpoint/1", "configuration": HOSTILE, "recipe": HOSTILE}
    save_file(load_file(tiny.file), folder / "w.safetensors", metadata=stated)
    return folder / "w.safetensors"


def name_alone(folder: Path, tiny: Checkpoint) -> Path:
    del tiny
    path = folder / f"{NAME}.pth"
    path.write_bytes(b"these are no weights")
    return path


WEIGHTS: Final[dict[str, Callable[[Path, Checkpoint], Path]]] = {
    "the keys of safetensors": safetensors,
    "the keys of a state dict": pth,
    "the names of arrays": npz,
    "the groups of HDF5": h5,
    "the configuration of a checkpoint": configuration,
    "the name of a file": name_alone,
    "the name of no file": lambda folder, _: folder / f"{NAME}.keras",
}


@pytest.mark.parametrize("made", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_cannot_be_used(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, made: Callable[[Path, Checkpoint], Path]
) -> None:
    path = made(tmp_path, tiny)
    is_refused(vgg16("port", path, tmp_path / "out.safetensors"))
    is_refused(vgg16("weights", "verify", path))


OPTIONS: Final = (
    ("parity", "--runtimes"),
    ("parity", "--lanes"),
    ("parity", "--device"),
    ("parity", "--port"),
    ("parity", "--images"),
    ("summary", "--configuration"),
    ("summary", "--framework"),
    ("predict", CAT, "--recipe"),
    ("predict", CAT, "--labels"),
    ("predict", CAT, "--runtime"),
    ("port", CAT, "x.pth", "--to"),
    ("export", "--framework", "torch", "--out", "x", "--batch"),
    ("weights", "fetch"),
    ("check",),
    (),
)


@pytest.mark.parametrize("arguments", OPTIONS, ids=lambda each: " ".join(map(str, each[-2:])))
def test_options_that_cannot_be_used(vgg16: Command, arguments: tuple[object, ...]) -> None:
    is_refused(vgg16(*arguments, NAME))


def test_an_option_of_no_name(vgg16: Command) -> None:
    is_refused(vgg16("summary", f"--{NAME}"))


DOCUMENTS: Final = {
    "a recipe's field": ("--recipe", "r.json", {HOSTILE: 1}),
    "a recipe's filter": ("--recipe", "r.json", {"scale": 1, "resample": HOSTILE}),
    "a recipe's own name": ("--recipe", "r.json", {"scale": 2, "name": HOSTILE}),
    "a report's schema": ("--against", "o.json", {"schema": HOSTILE}),
    "a report's field": (
        "--against",
        "o.json",
        {**report_json.to_json(everything()), HOSTILE: 1},
    ),
}


@pytest.mark.parametrize(("option", "name", "document"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_that_cannot_be_used(
    vgg16: Command, tmp_path: Path, option: str, name: str, document: object
) -> None:
    (tmp_path / name).write_text(json.dumps(document))
    command = ("parity",) if option == "--against" else ("predict", CAT)
    is_refused(vgg16(*command, "--configuration", "tiny", option, tmp_path / name))


def test_what_a_file_says_of_itself_is_shown_and_a_program_reads_it_exactly(
    vgg16: Command, stating: Path
) -> None:
    is_shown(vgg16("weights", "verify", stating, stating), 0)
    done = vgg16("weights", "verify", stating, "--json")
    is_shown(done, 0)
    facts = json.loads(done.out)["file"]
    assert [facts[name] for name in ("name", "source", "licence")] == [str(stating), *[HOSTILE] * 2]
    out = stating.with_suffix(".npz")
    is_shown(vgg16("port", stating, out), 0)
    done = vgg16("port", stating, out, "--json")
    is_shown(done, 0)
    assert json.loads(done.out)["file"] == str(out)


@pytest.mark.slow
def test_pictures_and_labels_are_shown(vgg16: Command, tiny: Checkpoint, tmp_path: Path) -> None:
    classes = tiny.configuration.classes
    names = [f"\u200b\u200e[red]|{index}" for index in range(classes)]
    picture = Path(shutil.copy(CAT, tmp_path / f"{NAME}.png"))
    (tmp_path / "labels.txt").write_text("\n".join(names), encoding="utf-8")
    chosen = ("--configuration", "tiny", "--labels", tmp_path / "labels.txt")
    is_shown(done := vgg16("predict", picture, *chosen), 0)
    assert r"\u200b\u200e[red]|" in done.out
    is_shown(done := vgg16("predict", picture, *chosen, "--json"), 0)
    (image,) = json.loads(done.out)["images"]
    assert (image["file"], image["top5"][0]["name"] in names) == (str(picture), True)


def test_what_a_library_warns_of_or_logs_is_shown(vgg16: Command) -> None:
    vgg16("--version")
    said = warnings.formatwarning(HOSTILE, UserWarning, NAME, 1)
    # pytest has handlers of its own.
    record = logging.LogRecord("library", logging.WARNING, "", 1, "a\n%s", (HOSTILE,), None)
    assert logging.lastResort is not None
    for text in (said, logging.lastResort.format(record)):
        assert not unseen(text)
        assert "[red]" in text
        assert "\n" in text


def test_a_drawing_is_named(vgg16: Command, tmp_path: Path) -> None:
    out = tmp_path / f"{NAME}.svg"
    is_shown(vgg16("draw", "--configuration", "tiny", "--kind", "table", "--out", out), 0)
    assert not unseen(out.read_text("utf-8"))


def test_a_bundle_quotes_what_the_weights_say(
    vgg16: Command, stating: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"{HOSTILE} bundle"
    is_shown(vgg16("export", "--framework", "torch", "--weights", stating, "--out", out), 0)
    page = (out / "README.md").read_text("utf-8")
    last = page.splitlines()[-1]
    assert not unseen(page)
    kinds = [each.type for each in MarkdownIt().parseInline(last)[0].children or ()]
    assert kinds == ["text", "code_inline"] * 2 + ["text"]
    stated = (out / "metadata.json").read_text("utf-8")
    assert not unseen(stated)
    assert json.loads(stated)["source"] == HOSTILE


def test_a_path_that_no_library_of_onnx_opens_is_told(
    vgg16: Command, stating: Path, tmp_path: Path
) -> None:
    shared = ("--weights-file", "shared", "--out", tmp_path / "m.onnx")
    is_refused(vgg16("export", "--framework", "torch", "--weights", stating, *shared))
    (model := tmp_path / f"{NAME}.onnx").write_bytes(b"\x08\x0a")
    for out in (model, model.with_suffix("")):
        done = vgg16("export", "--framework", "torch", "--configuration", "tiny", "--out", out)
        is_refused(done)
        assert "its path is not UTF-8" in done.err
    is_refused(done := vgg16("check", model, "--configuration", "tiny"))
    assert "its path is not UTF-8" in done.err


def test_the_names_in_a_graph_are_shown(vgg16: Command, tiny: Checkpoint, tmp_path: Path) -> None:
    from export import export_onnx

    export_onnx("torch", tiny, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.name = model.doc_string = model.producer_name = HOSTILE
    for node in model.graph.node:
        node.name = f"{HOSTILE}{node.name}"
        node.input[:] = [f"{HOSTILE}{name}" for name in node.input]
        node.output[:] = [f"{HOSTILE}{name}" for name in node.output]
    ends = (*model.graph.input, *model.graph.output, *model.graph.initializer)
    for value in (*ends, *model.graph.value_info):
        value.name = f"{HOSTILE}{value.name}"
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Tanh"
    onnx.save(model, tmp_path / "m.onnx")
    for more in ((), ("--json",)):
        is_shown(vgg16("check", tmp_path / "m.onnx", "--configuration", "tiny", *more), 1)
    is_refused(vgg16("port", tmp_path / "m.onnx", tmp_path / "w.pth"))
    relu.op_type = HOSTILE
    onnx.save(model, tmp_path / "m.onnx")
    is_refused(vgg16("check", tmp_path / "m.onnx", "--configuration", "tiny"))

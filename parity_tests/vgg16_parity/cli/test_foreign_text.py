"""Whatever others wrote reaches no stream and no report as anything but text that can be seen.

Each test is one place that text comes from: a name, a file's content, a variable, a server. It goes
through the commands that show it; what they print, and every file that they write, is looked at.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

import h5py
import numpy as np
import onnx
import pytest
import torch
from markdown_it import MarkdownIt
from safetensors.numpy import load_file, save_file

import vgg16_weights
from parity_tests.support.foreign_text import HOSTILE, NAME, unseen
from parity_tests.support.helpers import Command, Outcome
from parity_tests.support.reports import everything
from parity_tests.support.weights.fetching import CONTENT, RECORD
from parity_tests.support.weights.server import Answer, WeightServer, serve
from vgg16_parity.records import Report
from vgg16_parity.report import json as report_json
from vgg16_parity.report.diff import diff_reports
from vgg16_parity.report.explain import explain
from vgg16_parity.report.files import write_files
from vgg16_parity.report.json import Document
from vgg16_parity.report.schema import read
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_weights.published import pretrained

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")

CAT: Final = PHOTOGRAPHS[0].path
# The beginning and the end of a hostile text: a long one may be cut.
SEEN: Final = ("[red]", r"\u2029")
FILES: Final = ("--report", "--html", "--junit")
# The arrays of a port with names of its own, and a port that fails.
PORTS: Final = {
    "an error": "raise ValueError({text!r})",
    "a tap": "return {{{text!r}: images, 'predictions': np.ones((1, 1000))}}",
}


def is_shown(done: Outcome, status: int, stream: str = "out") -> None:
    """Nothing unseen is on either stream, and the text, or its end, is on one as it can be seen."""
    assert done.status == status, done.err
    assert not unseen(done.out + done.err)
    assert "Traceback" not in done.err
    assert any(part in getattr(done, stream) for part in SEEN)


def is_refused(done: Outcome) -> None:
    """In one line that shows the text."""
    is_shown(done, 2, "err")
    assert any(part in done.err.splitlines()[-1] for part in SEEN)
    assert done.out == ""


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


@pytest.fixture
def stating(tiny: Checkpoint, tmp_path: Path) -> Path:
    """Weights in a file whose name and whose metadata are hostile."""
    metadata = Metadata("caffe", HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    checkpoint = tiny.replaced(metadata=metadata)
    vgg16_weights.write(checkpoint, tmp_path / f"{NAME}.safetensors")
    return tmp_path / f"{NAME}.safetensors"


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


def test_pictures_and_labels_are_shown(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = tiny.configuration.classes
    names = [f"\u200b\u200e[red]|{index}" for index in range(classes)]
    monkeypatch.setattr("vgg16_parity.run.run_logits", lambda *_, **__: np.zeros((1, classes)))
    picture = Path(shutil.copy(CAT, tmp_path / f"{NAME}.png"))
    (tmp_path / "labels.txt").write_text("\n".join(names), encoding="utf-8")
    chosen = ("--configuration", "tiny", "--labels", tmp_path / "labels.txt")
    is_shown(done := vgg16("predict", picture, *chosen), 0)
    assert r"\u200b\u200e[red]|0" in done.out
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


def test_the_folder_of_the_cache_is_shown(
    vgg16: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).touch()
    monkeypatch.setenv("VGG16_CACHE", str(tmp_path / NAME / "cache"))
    is_refused(vgg16("predict", CAT, "--configuration", "tiny"))
    is_shown(done := vgg16("weights", "list", "--json"), 0)
    paths = [each["path"] for each in json.loads(done.out)["weights"]]
    assert all(path.startswith(str(tmp_path / NAME)) for path in paths)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightServer]:
    """A mirror of published weights, none of which is in the cache."""
    with serve() as served:
        monkeypatch.setenv("VGG16_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("VGG16_MIRROR", served.url)
        monkeypatch.delenv("VGG16_OFFLINE", raising=False)
        monkeypatch.setattr(pretrained, "PUBLISHED", {RECORD.name: RECORD})
        yield served


ANSWERS: Final = {
    "a reason": Answer(404, reason="\x1b[31m\x07\x9b\x85[red]"),
    "an address": Answer(302, location="http://x.invalid/\x1b[31m\x9b\x85[red]"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_answer_of_a_server_is_shown(
    vgg16: Command, server: WeightServer, answer: Answer
) -> None:
    server.files[RECORD.file] = CONTENT
    server.script.append(answer)
    is_refused(vgg16("weights", "fetch", RECORD.name))


def test_the_address_of_a_mirror_is_shown(
    vgg16: Command, server: WeightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in (f"https://[{HOSTILE}", f"{server.url}/{HOSTILE}"):
        monkeypatch.setenv("VGG16_MIRROR", address)
        is_refused(vgg16("weights", "fetch", RECORD.name))


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

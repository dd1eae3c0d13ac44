"""Where the folder of temporary files cannot be used, no command calls anything broken for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import pytest

from export import export_onnx
from onnx_arbiter.cli import app as onnx_arbiter
from parity_tests.support.foreign_text import unseen
from parity_tests.support.graphs.exports import remembered_traces
from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")

# The commands that need one, with {weights}, {picture}, {model}, {data} and {out} in them.
COMMANDS: Final = {
    "parity": "parity --weights {weights} --images {picture} --runtimes torch,onnx-from-torch",
    "evaluate": "evaluate {data} --weights {weights} --runtimes torch --out {out}/run",
    "export": "export --framework keras --weights {weights} --precision int8 --calibrate {data}/1"
    " --out {out}/bundle",
    "check": "check {model} --weights {weights}",
    "predict": "predict {picture} --weights {weights} --runtime torch",
}

SHAPE: Final = ("--shape", "images=1,3,64,64")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, whose name is no text."""
    place = tmp_path / os.fsdecode(b"t\xff\n\x1b[31m")
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    return place


@pytest.fixture
def facts(tiny: Checkpoint, tmp_path: Path) -> dict[str, object]:
    out, data = tmp_path / "out", tmp_path / "data"
    out.mkdir()
    for number, photograph in enumerate(PHOTOGRAPHS):
        (data / str(number)).mkdir(parents=True)
        (data / str(number) / "p.png").write_bytes(photograph.path.read_bytes())
    with remembered_traces():
        model = export_onnx("keras", tiny, tmp_path / "model.onnx")
    picture = PHOTOGRAPHS[0].path
    facts = {"weights": tiny.file, "picture": picture, "model": model, "data": data, "out": out}
    return {name: str(value) for name, value in facts.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_that_is_not_utf8_is_refused_in_one_line(
    name: str, vgg16: Command, place: Path, facts: dict[str, object]
) -> None:
    done = vgg16(*COMMANDS[name].format(**facts).split(" "))
    assert done.status == 2, done.err
    line = done.err.splitlines()[-1]
    assert line.startswith("vgg16: ")
    assert "the folder of temporary files has a name that is not UTF-8" in line
    assert not unseen(done.out + done.err)
    assert list(place.iterdir()) == []


def test_so_it_is_by_the_arbiter_of_any_network(
    place: Path,
    facts: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx-arbiter", str(facts["model"]), *SHAPE])
    with pytest.raises(SystemExit) as end:
        onnx_arbiter.main()
    assert end.value.code == 2
    said = capfd.readouterr().err
    assert "the folder of temporary files has a name that is not UTF-8" in said.splitlines()[-1]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["a\nb", "a b", "鶴 %s {x} 'q' \"q\" $HOME ;"])
def test_any_other_name_is_used(
    name: str,
    vgg16: Command,
    facts: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / name
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = vgg16("check", facts["model"], "--weights", facts["weights"])
    assert done.status == 0, done.err
    # ONNX Runtime itself may leave a file.
    assert not list(place.glob("*vgg16*"))

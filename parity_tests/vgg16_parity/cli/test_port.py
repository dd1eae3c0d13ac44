"""``vgg16 port``: every format to every other, and what is refused before a file is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vgg16_weights
from parity_tests.support.helpers import Command, same
from vgg16_parity.cli.options import resolve
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint, seeded
from vgg16_spec.checkpoint.seeded import is_seeded


def test_porting_between_safetensors_and_keras_imports_no_framework(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from vgg16_parity.cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    slow = {'torch', 'keras', 'jax', 'tensorflow', 'onnxruntime', 'onnx'}\n"
        "    assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    destination = str(tmp_path / "w.weights.h5")
    subprocess.run(
        [sys.executable, "-c", code, "port", str(tiny.file), destination],
        check=True,
        capture_output=True,
    )


def test_port_finds_formats_and_keeps_every_bit(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    assert vgg16("port", tiny.file, tmp_path / "a.pth").status == 0
    assert vgg16("port", tmp_path / "a.pth", tmp_path / "b.weights.h5").status == 0
    (tmp_path / "b.weights.h5").rename(tmp_path / "anything")
    done = vgg16("port", tmp_path / "anything", tmp_path / "c", "--to", "safetensors", "--json")
    assert done.status == 0
    facts = json.loads(done.out)
    assert (facts["format"], facts["configuration"], facts["tensors"]) == (
        "safetensors",
        "tiny",
        32,
    )
    assert same(open_checkpoint(tmp_path / "c"), tiny)


def test_port_writes_the_recipe_that_is_given(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    done = vgg16("port", tiny.file, tmp_path / "b.safetensors", "--recipe", "caffe")
    assert "recipe caffe" in done.out
    assert open_checkpoint(tmp_path / "b.safetensors").metadata.recipe == "caffe"


def test_seeded_weights_are_still_known_as_such_after_a_port(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    for name in ("a.pth", "a.weights.h5", "a.safetensors"):
        assert vgg16("port", tiny.file, tmp_path / name).status == 0
        assert is_seeded(resolve(str(tmp_path / name), None)), name


def test_seeded_weights_are_ported_by_name(
    vgg16: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = seeded.generate(configuration("tiny"), 3)
    monkeypatch.setattr(
        seeded, "seeded_checkpoint", lambda name, seed: {("D", 3): made}[name, seed]
    )
    assert vgg16("port", "seeded:3", tmp_path / "w.pth").status == 0
    ported = resolve(str(tmp_path / "w.pth"), None)
    assert same(ported, made)


@pytest.mark.parametrize("name", vgg16_weights.writable())
def test_port_takes_every_format_by_name(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    done = vgg16("port", tiny.file, tmp_path / "w", "--to", name, "--json")
    assert json.loads(done.out)["format"] == name
    done = vgg16("port", tmp_path / "w", tmp_path / "back.safetensors", "--from", name)
    assert done.status == 0, done.err
    assert same(vgg16_weights.read(tmp_path / "back.safetensors"), tiny)


def test_port_leaves_the_classifier_out_when_asked(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    assert vgg16("port", tiny.file, tmp_path / "w.pth", "--no-top").status == 0
    read = vgg16_weights.read(tmp_path / "w.pth")
    assert not read.configuration.include_top
    assert same(read, tiny.without_top())


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        (["weights.bin"], "weights.bin: its name does not tell the format; expected one that ends"),
        (["w", "--to", "gif"], "format: 'gif' is unknown; expected one of "),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_source_is_read(
    vgg16: Command, destination: list[str], message: str
) -> None:
    done = vgg16("port", "missing.safetensors", *destination)
    assert done.status == 2
    assert done.err.startswith(f"vgg16: {message}")

"""``vgg16 port``: every format to every other, and what is refused before a file is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vgg16_weights
from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.tiny_files import state_dict
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
        (["w.onnx"], "w.onnx: is an ONNX graph, not a weights file; expected vgg16 export "),
        (["w.pth", "--data-format", "hwc"], "--data-format: 'hwc' is unknown; expected one of ch"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_source_is_read(
    vgg16: Command, destination: list[str], message: str
) -> None:
    done = vgg16("port", "missing.safetensors", *destination)
    assert done.status == 2
    assert done.err.startswith(f"vgg16: {message}")


def test_an_ending_of_pytorchs_own_is_a_state_dict(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    assert vgg16("port", tiny.file, tmp_path / "w.pt").status == 0
    assert vgg16("port", tiny.file, tmp_path / "w.pth").status == 0
    assert (tmp_path / "w.pt").read_bytes() == (tmp_path / "w.pth").read_bytes()


def halved(checkpoint: Checkpoint, path: Path) -> None:
    """A file that says nothing of its recipe, and is read with a step."""
    torch.save({key: values.half() for key, values in state_dict(checkpoint).items()}, path)


def test_how_a_file_was_read_is_said_in_one_line(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    halved(tiny, tmp_path / "half.pth")
    done = vgg16("port", tmp_path / "half.pth", tmp_path / "w.safetensors")
    assert done.status == 0, done.err
    (line,) = done.out.splitlines()
    assert line.endswith("recipe torchvision (assumed); widened from float16")
    assert "widened" not in done.err
    done = vgg16("port", tmp_path / "half.pth", tmp_path / "w.safetensors", "--json")
    facts = json.loads(done.out)
    assert facts["steps"] == ["widened from float16"]
    assert facts["recipe_assumed"] is True
    # What was written says what it is.
    done = vgg16("port", tmp_path / "w.safetensors", tmp_path / "again.pth")
    assert done.out.endswith("recipe torchvision\n")


def test_a_recipe_that_is_given_is_not_assumed(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    halved(tiny, tmp_path / "half.pth")
    done = vgg16("port", tmp_path / "half.pth", tmp_path / "w.pth", "--recipe", "caffe")
    assert "recipe caffe; widened" in done.out


def test_other_commands_say_on_stderr_how_a_file_was_read(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    halved(tiny, tmp_path / "half.pth")
    done = vgg16("weights", "verify", tmp_path / "half.pth")
    assert done.status == 0, done.err
    assert done.err.splitlines().count("half.pth: widened from float16") == 1
    assert "widened" not in done.out


def test_no_top_needs_no_head(vgg16: Command, tiny: Checkpoint, tmp_path: Path) -> None:
    """Nor a sound one: the classifier's values may be NaN, as in published features."""
    state = state_dict(tiny)
    for key in state:
        if key.startswith("classifier"):
            state[key] = torch.full_like(state[key], torch.nan)
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        done = vgg16("port", tmp_path / name, tmp_path / "out.pth", "--no-top")
        assert done.status == 0, done.err
        assert same(vgg16_weights.read(tmp_path / "out.pth"), tiny.without_top())

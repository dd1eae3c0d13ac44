"""The command line: what each command prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from parity_tests.support.helpers import Command, same
from vgg16_parity.cli.options import resolve
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint, seeded
from vgg16_spec.checkpoint.seeded import is_seeded
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.names import torchvision_keys

CAT, ROCKET = (str(photograph.path) for photograph in PHOTOGRAPHS)


@pytest.mark.parametrize("arguments", [["--help"], ["parity", "--help"]])
def test_help_imports_nothing_that_takes_time(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from vgg16_parity.cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    slow = {'numpy', 'h5py', 'PIL', 'safetensors', 'onnx', 'torch', 'keras', 'jax'}\n"
        "    slow |= {'tensorflow', 'onnxruntime'}\n"
        "    assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


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


def test_without_a_command_the_help_is_shown_and_nothing_else(vgg16: Command) -> None:
    done = vgg16()
    assert "Usage" in done.out
    assert done.err.strip() == ""
    assert done.status == 2


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vgg16_parity", "summary"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "138,357,544" in done.stdout


@pytest.mark.slow
def test_weights_of_every_format_are_taken(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    for name in ("w.pth", "w.weights.h5", "w.safetensors"):
        assert vgg16("port", tiny.file, tmp_path / name).status == 0
        assert same(resolve(str(tmp_path / name), "tiny"), tiny)
    one = ["--weights", tmp_path / "w.weights.h5", "--runtimes", "torch", "--images", CAT]
    done = vgg16("parity", *one, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["weights"]["metadata"]["source"] == tiny.metadata.source


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


def test_predict_names_five_classes_and_says_that_seeded_names_mean_nothing(vgg16: Command) -> None:
    done = vgg16("predict", CAT, ROCKET, "--configuration", "tiny", "--runtime", "torch")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0] == CAT
    assert lines[6] == ROCKET
    assert len(lines) == 13
    assert lines[-1] == "These weights are seeded, never trained: the names mean nothing."


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


def test_predict_says_nothing_of_seeds_for_other_weights(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    keys = torchvision_keys(tiny.configuration)
    state = {key: torch.from_numpy(tiny[name] * np.float32(0.9)) for name, key in keys.items()}
    torch.save(state, tmp_path / "trained.pth")
    done = vgg16("predict", CAT, "--weights", tmp_path / "trained.pth", "--json")
    document = json.loads(done.out)
    assert document["seeded"] is False
    best = document["images"][0]["top5"]
    assert [entry["probability"] for entry in best] == sorted(
        (entry["probability"] for entry in best), reverse=True
    )


def test_summary_is_the_table_of_the_architecture(vgg16: Command) -> None:
    done = vgg16("summary", "--json")
    document = json.loads(done.out)
    assert document["parameters"] == 138_357_544
    assert document["multiply_adds"] == 15_470_264_320
    first = document["layers"][0]
    assert first["name"] == "block1_conv1"
    assert first["output_shape"] == [64, 224, 224]
    plain = vgg16("summary").out.splitlines()
    assert any(line.split()[:3] == ["block5_conv3", "features.28", "512×14×14"] for line in plain)
    assert plain[-1].split() == ["total", "138,357,544", "15,470,264,320"]


@pytest.mark.slow
def test_runtimes_may_be_spaced_and_each_is_run_once(vgg16: Command) -> None:
    chosen = ["--runtimes", "torch, torch", "--images", CAT]
    done = vgg16("parity", "--configuration", "tiny", *chosen, "--json")
    assert done.status == 0, done.err
    assert [row["runtime"] for row in json.loads(done.out)["rows"]] == ["torch", "torch"]


@pytest.mark.slow
def test_a_runtime_that_was_asked_for_and_is_missing_is_exit_status_1(
    vgg16: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgg16_parity.runtimes import requirements

    monkeypatch.setattr(requirements, "find_spec", lambda n: None if n == "jax" else find_spec(n))
    done = vgg16("parity", "--configuration", "tiny", "--runtimes", "torch,keras-jax")
    assert done.status == 1
    assert "Parity is not shown: keras-jax (strict), keras-jax (default) did not run." in done.out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns_shows_the_whole_table() -> None:
    import pty

    code = (
        "from vgg16_parity.cli.console import print_table\n"
        "from vgg16_parity.report.table import COLUMNS\n"
        "row = ('keras-tensorflow', 'not run', 'bfloat16', '0.81', '5.46', '0.81', '1.2e-05')\n"
        "print_table(COLUMNS, [(*row, '19/19', '118', '3.1')], text_columns=3)\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 10_000).decode()).splitlines()
    os.close(ours)
    assert len(shown) == 2
    assert all(len(line) <= 80 for line in shown)
    assert shown[1].split()[:4] == ["keras-tensorflow", "not", "run", "bfloat16"]


def test_a_stream_that_cannot_show_a_character_is_no_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vgg16_parity", "summary"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"64\\xd7224\\xd7224" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_terminated_run_takes_its_worker_and_its_files_along(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vgg16_parity", "parity", "--configuration", "tiny"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("torch"):
            break
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []

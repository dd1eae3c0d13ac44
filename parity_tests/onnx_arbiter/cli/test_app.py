"""The command as a whole: what it judges, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.runtimes import onnxruntime, registry
from onnx_arbiter.runtimes.runtime import Runtime
from parity_tests.support.arbiter_models import computed, save
from parity_tests.support.helpers import Command

Images = NDArray[np.float32]


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys\n"
        "from onnx_arbiter.cli.app import main\n"
        "sys.argv = ['onnx-arbiter', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "slow = {'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'torch', 'jinja2', 'pydantic'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--save-inputs" in done.stdout


def test_the_shell_sees_the_outcome(model: Path, images: Images, tmp_path: Path) -> None:
    y = computed(model, images)["y"]
    np.savez(tmp_path / "right.npz", y=y)
    np.savez(tmp_path / "wrong.npz", y=y * np.float32(1.001))
    for outputs, status in (("right.npz", 0), ("wrong.npz", 1), ("absent.npz", 2)):
        words = [model.name, "--inputs", "in.npz", "--outputs", outputs]
        done = subprocess.run(
            [sys.executable, "-m", "onnx_arbiter", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


def test_messages_have_the_programs_own_name(arbiter: Command) -> None:
    assert arbiter("--version").out.startswith("onnx-arbiter ")
    done = arbiter("absent.onnx")
    assert (done.status, done.out) == (2, "")
    said = "onnx-arbiter: absent.onnx: no such file; expected an ONNX model (.onnx)\n"
    assert done.err == said


def test_without_arguments_the_help_is_shown(arbiter: Command) -> None:
    done = arbiter()
    assert done.status == 2
    assert "Usage" in done.out


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_was_judged_is_printed_although_a_file_cannot_be_written(
    arbiter: Command,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    from onnx_arbiter.report import html

    def full(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(html, "page", full)
    done = arbiter(model.name, "--html", "page.html", *options)
    assert done.status == 2
    assert "ithin rounding" in done.out
    assert not (tmp_path / "page.html").exists()
    assert "No space left on device" in done.err.splitlines()[-1]


def test_reports_are_written_and_announced(arbiter: Command, model: Path, tmp_path: Path) -> None:
    done = arbiter(model.name, "--html", "page.html", "--junit", "junit.xml")
    assert done.status == 0
    assert "report: page.html\nreport: junit.xml\n" in done.err
    assert "/layer1/c" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'failures="0"' in (tmp_path / "junit.xml").read_text(encoding="utf-8")


def test_json_is_all_that_stdout_has(arbiter: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text("def run(inputs):\n    print('noise')\n    return {'d': 0}\n")
    done = arbiter(model.name, "--port", "port.py:run", "--json")
    assert json.loads(done.out)["holds"] is False
    assert "noise" in done.err


def test_the_wrong_node_is_written_as_a_model_that_runs(
    arbiter: Command, model: Path, images: Images, tmp_path: Path
) -> None:
    wrong = computed(model, images, "d")["d"] + np.float32(1)
    save(tmp_path / "out.npz", {"d": wrong})
    words = [model.name, "--inputs", "in.npz", "--outputs", "out.npz", "--repro", "repro"]
    for _ in range(2):  # the second replaces the first's
        done = arbiter(*words)
        assert done.status == 1
        assert "repro: repro: Conv /layer2/conv, as out.npz ran it" in done.err
    ran = subprocess.run([sys.executable, "run.py"], cwd=tmp_path / "repro", check=False)
    assert ran.returncode == 0


def test_a_folder_of_anything_else_is_never_replaced(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    done = arbiter(model.name, "--repro", "mine")
    assert done.status == 2
    assert "--repro: mine holds something else" in done.err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_without_a_wrong_node_no_folder_is_written(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    done = arbiter(model.name, "--repro", "repro")
    assert done.status == 0
    assert "repro: no node is wrong, repro is not written" in done.err
    assert not (tmp_path / "repro").exists()


def test_of_several_wrong_runs_the_node_that_is_wrong_alone_is_written(
    arbiter: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        found = onnxruntime.run_unoptimised(model, inputs, wanted)
        return found | {"y": found["y"] * 2}

    def alone(
        node: Node,
        inputs: Mapping[str, Array],
        constants: Mapping[str, Array],
        types: Mapping[str, np.dtype[Any]],
    ) -> dict[str, Array]:
        found = onnxruntime.run_node(node, inputs, constants, types)
        return {name: values * 2 for name, values in found.items()}

    wrong = Runtime("wrong", {"always": run}, alone)
    monkeypatch.setattr(registry, "runtime", lambda _: wrong)
    done = arbiter(model.name, "--repro", "repro")
    assert done.status == 1
    assert "wrong, the file as it is: broken. Gemm fc: errors are" in done.out
    assert "repro: repro: Conv /layer1/conv, as wrong, always, every value ran it" in done.err


def test_a_runtime_that_is_not_there_is_refused_before_anything_is_read(
    arbiter: Command, model: Path
) -> None:
    assert len(arbiter(model.name, "--runtime", "abacus").err.splitlines()) == 1

"""The GitHub Action, its shell steps run here with commands that record how they were called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from parity_tests.support.networks import residual

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
HOSTILE = """$(touch pwned) `touch pwned` "'; touch pwned; * ${HOME} é"""
REPORT = {
    "model": "model`1`.onnx",
    "mode": "float32",
    "runs": [
        {
            "name": "onnxruntime",
            "status": "broken",
            "explanation": "onnxruntime: broken. Conv <b>conv1</b>: alone, errors are 8,400",
            "notes": ["a `note`"],
        }
    ],
}
PARITY = {
    "rows": [
        {"runtime": "torch", "status": "holds"},
        {"runtime": "jax", "status": "not run", "reason": "jax is not installed"},
    ]
}
# Records its arguments, one a line, and prints the document that was prepared for it.
RECORDING = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0")" "$@" >> "$FAKE/called"
cat "$FAKE/printed"
exit "$(cat "$FAKE/status")"
"""


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return found


def step(name: str) -> dict[str, Any]:
    [found] = [each for each in action()["runs"]["steps"] if each.get("name") == name]
    made: dict[str, Any] = found
    return made


@dataclass
class Ran:
    status: int
    called: list[str]
    outputs: dict[str, str]
    summary: str


def run(
    name: str, folder: Path, inputs: dict[str, str], status: int = 0, printed: object = REPORT
) -> Ran:
    """Run a step as a runner does, with the inputs in the variables that it states."""
    commands = folder / "bin"
    commands.mkdir()
    (folder / "status").write_text(str(status))
    (folder / "printed").write_text("" if printed is None else json.dumps(printed))
    fakes = ["onnx-arbiter", "vgg16", *(["python"] if name == "Install" else [])]
    for command in fakes:
        (commands / command).write_text(RECORDING)
        (commands / command).chmod(0o755)
    if "python" not in fakes:
        (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (commands / "python").chmod(0o755)
    given = {
        variable: str(ROOT) if "action_path" in text else inputs.get(input_of(text), "")
        for variable, text in step(name)["env"].items()
    }
    files = {n: folder / n for n in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    environment = {
        "PATH": f"{commands}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "PYTHONPATH": str(ROOT),
        "RUNNER_TEMP": str(folder),
        "FAKE": str(folder),
        **{n: str(path) for n, path in files.items()},
        **given,
    }
    ended = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name)["run"]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    text = {n: path.read_text() if path.exists() else "" for n, path in files.items()}
    called = folder / "called"
    return Ran(
        ended.returncode,
        called.read_text().splitlines() if called.exists() else [],
        dict(line.split("=", 1) for line in text["GITHUB_OUTPUT"].splitlines()),
        text["GITHUB_STEP_SUMMARY"],
    )


def input_of(expression: str) -> str:
    return expression.removeprefix("${{ inputs.").removesuffix(" }}")


def test_no_input_is_text_of_a_script() -> None:
    for each in action()["runs"]["steps"]:
        assert "${{" not in each.get("run", "")


def test_every_input_is_used_and_every_one_used_is_there() -> None:
    text, known = (ROOT / "action.yml").read_text(encoding="utf-8"), action()["inputs"]
    for name in known:
        assert f"inputs.{name}" in text
        assert known[name]["description"]
    for each in action()["runs"]["steps"]:
        for expression in each.get("env", {}).values():
            assert "action_path" in expression or input_of(expression) in known


def test_every_input_reaches_the_command_as_one_argument(tmp_path: Path) -> None:
    names = ["inputs", "outputs", "against", "port", "runtime", "mode"]
    given = {name: f"{name} {HOSTILE}" for name in names}
    ran = run(
        "Judge", tmp_path, {"model": HOSTILE, "arguments": "--shape x=1,3  --seed 1", **given}
    )
    report = ran.outputs["report"]
    assert ran.called == [
        "onnx-arbiter",
        *(f"--{name}={given[name]}" for name in names),
        "--json",
        f"--html={report}/report.html",
        f"--junit={report}/junit.xml",
        "--shape",
        "x=1,3",
        "--seed",
        "1",
        "--",
        HOSTILE,
    ]
    assert not list(tmp_path.rglob("pwned"))
    assert json.loads((Path(report) / "report.json").read_text()) == REPORT


def test_without_inputs_the_command_gets_the_model_alone(tmp_path: Path) -> None:
    called = run("Judge", tmp_path, {"model": "m.onnx"}).called
    assert called[:2] == ["onnx-arbiter", "--json"]
    assert called[-2:] == ["--", "m.onnx"]
    assert len(called) == 6


@pytest.mark.parametrize(("status", "holds"), [(0, "true"), (1, "false"), (2, "false")])
def test_the_job_ends_as_the_command_does(tmp_path: Path, status: int, holds: str) -> None:
    ran = run("Judge", tmp_path, {"model": "m.onnx"}, status)
    assert ran.status == status
    assert ran.outputs["holds"] == holds


def test_the_summary_says_what_is_wrong_and_shows_foreign_text_as_code(tmp_path: Path) -> None:
    assert run("Judge", tmp_path, {"model": "m.onnx"}, 1).summary.splitlines() == [
        "## onnx-arbiter: a mistake, or nothing was judged",
        "",
        "``model`1`.onnx``, float32",
        "",
        "- `onnxruntime: broken. Conv <b>conv1</b>: alone, errors are 8,400`",
        "  - `` a `note` ``",
    ]


def test_a_command_that_was_refused_has_a_summary_too(tmp_path: Path) -> None:
    ran = run("Judge", tmp_path, {"model": "m.onnx"}, 2, None)
    assert ran.summary.startswith("## onnx-arbiter: not run\n\nThere is no report")


def test_without_a_model_the_parity_suite_runs(tmp_path: Path) -> None:
    ran = run("Judge", tmp_path, {"port": "p.py:f"}, printed=PARITY)
    assert ran.called[:3] == ["vgg16", "parity", "--port=p.py:f"]
    assert ran.summary.splitlines()[2:] == [
        "- **holds**: `torch`",
        "- **not run**: `jax`: `jax is not installed`",
    ]


@pytest.mark.parametrize(
    ("inputs", "needed"),
    [
        ({}, ["[keras,torch,onnx]"]),
        ({"model": "m.onnx"}, ["[onnx]", "onnx", "onnx-ir"]),
        ({"model": "m.onnx", "runtime": "openvino"}, ["[engines,onnx]", "onnx", "onnx-ir"]),
    ],
)
def test_what_a_run_needs_is_installed(
    tmp_path: Path, inputs: dict[str, str], needed: list[str]
) -> None:
    called = run("Install", tmp_path, inputs).called
    assert called == [
        "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        f"{ROOT}{needed[0]}",
        *needed[1:],
    ]


def test_the_report_is_kept_whether_it_holds_or_not() -> None:
    kept = step("Keep the report")
    assert "always()" in kept["if"]
    assert kept["with"]["path"] == "${{ steps.judge.outputs.report }}"


def test_a_model_is_judged_by_the_command_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(residual(), tmp_path / "model.onnx")
    command = f'exec "{sys.executable}" -m onnx_arbiter "$@"'
    monkeypatch.setattr(f"{__name__}.RECORDING", f"#!/bin/sh\n{command}\n")
    ran = run("Judge", tmp_path, {"model": "model.onnx", "arguments": "--seed 3"})
    assert (ran.status, ran.outputs["holds"]) == (0, "true")
    assert "- `onnxruntime, the file as it is: holds within rounding (" in ran.summary
    kept = {path.name for path in Path(ran.outputs["report"]).iterdir()}
    assert kept == {"report.json", "report.html", "junit.xml"}

"""``vgg16 parity`` on the command line: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from onnx_arbiter.limits import LIMITS
from parity_tests.support.helpers import Command, same
from vgg16_parity.cli.options import resolve
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

CAT, ROCKET = (str(photograph.path) for photograph in PHOTOGRAPHS)
FOUR = ("torch", "keras-tensorflow", "onnx-from-keras", "onnx-from-torch")

WRONG = """
import numpy as np
from vgg16_parity.network import reference
from vgg16_spec.checkpoint import open_checkpoint

def run(images, weights):
    taps = reference.run_with_taps(open_checkpoint(weights), images)
    return taps | {"predictions": np.roll(taps["predictions"], 1, axis=1)}
"""


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, str]:
    """One parity run of the tiny network in PyTorch, Keras and both exports: report, out, err."""
    path = tmp_path_factory.mktemp("report") / "report.json"
    command = [sys.executable, "-m", "vgg16_parity", "parity", "--configuration", "tiny"]
    done = subprocess.run(
        [*command, "--runtimes", ",".join(FOUR), "--report", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text()), done.stdout, done.stderr


@pytest.mark.slow
def test_parity_holds_in_both_frameworks_and_both_exports_in_both_lanes(
    tiny_run: tuple[dict[str, Any], str, str],
) -> None:
    report, *_ = tiny_run
    assert report["holds"]
    assert [(row["runtime"], row["lane"], row["status"]) for row in report["rows"]] == [
        (name, lane, "holds") for name in FOUR for lane in ("strict", "default")
    ]
    for row in report["rows"]:
        (case,) = row["cases"]
        assert len(case["layers"]) == 21
        for layer in case["layers"]:
            for kind in ("accumulated", "local"):
                assert 0 < layer[kind]["ratio"] <= LIMITS.ratio.limit
                assert 0 < layer[kind]["deviations"] <= LIMITS.deviations.limit
        assert [decision["outcome"] for decision in case["decisions"]] == ["agrees"] * 2


@pytest.mark.slow
def test_the_report_names_weights_images_versions_and_flags(
    tiny_run: tuple[dict[str, Any], str, str],
) -> None:
    report, *_ = tiny_run
    assert report["weights"]["configuration"] == "tiny"
    assert report["weights"]["seeded"] is True
    assert report["weights"]["metadata"]["recipe"] == "torchvision"
    (case,) = report["cases"]
    assert [image["label"] for image in case["images"]] == ["chelsea.png", "rocket.jpg"]
    assert case["images"][0]["sha256"] == PHOTOGRAPHS[0].sha256
    record = report["rows"][4]["record"]
    assert set(record["versions"]) >= {"onnxruntime", "tf2onnx", "keras"}
    assert set(record["seconds"]) == {
        "export import",
        "export trace",
        "import",
        "load",
        "run",
        "repeat",
        "layers",
        "probes",
    }
    assert report["rows"][2]["record"]["flags"]["op_determinism"] == "True"
    assert report["rows"][4]["record"]["flags"]["exported from"] == "keras on tensorflow"


@pytest.mark.slow
def test_without_a_terminal_the_table_is_plain_and_progress_goes_to_stderr(
    tiny_run: tuple[dict[str, Any], str, str],
) -> None:
    _, out, err = tiny_run
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "runtime"
    assert [line.split()[1] for line in lines[1:9]] == ["holds"] * 8
    assert lines[9].split(":")[0] == ", ".join(f"{name} (default)" for name in FOUR)
    assert lines[-1].startswith(
        "Parity holds: 8 runs within the errors predicted of the float64 arbiter; "
        "the inputs exercise "
    )
    assert "\x1b" not in out + err
    assert not any(character in out for character in "│┃─━")
    assert "arbiter" in err
    assert "onnx-from-keras (strict): export" in err


@pytest.mark.slow
def test_json_is_one_document_and_nothing_else(vgg16: Command) -> None:
    done = vgg16("parity", "--configuration", "tiny", "--runtimes", "torch", "--json")
    assert done.status == 0
    assert json.loads(done.out)["rows"][0]["runtime"] == "torch"


@pytest.mark.slow
def test_quick_compares_logits_in_the_strict_lane(vgg16: Command) -> None:
    one = ("--configuration", "tiny", "--runtimes", "torch", "--json", "--quick")
    rows = json.loads(vgg16("parity", *one).out)["rows"]
    assert [row["lane"] for row in rows] == ["strict"]
    (case,) = rows[0]["cases"]
    assert [layer["tap"] for layer in case["layers"]] == ["predictions"]
    assert case["layers"][0]["local"] is None
    rows = json.loads(vgg16("parity", *one, "--lanes", "default, bfloat16").out)["rows"]
    assert [row["lane"] for row in rows] == ["default", "bfloat16"]


def test_broken_parity_is_exit_status_1(vgg16: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WRONG)
    port = ("--port", f"{tmp_path / 'mine.py'}:run", "--images", CAT, "--lanes", "strict")
    done = vgg16("parity", "--configuration", "tiny", *port)
    assert done.status == 1
    assert "Parity is broken: mine:run (strict)." in done.out
    assert "mine:run (strict) broken: from predictions on: photographs: errors are" in done.out
    # Beside a port only those runtimes are run that are asked for.
    assert "torch" not in done.out


def test_nothing_compared_is_exit_status_1(vgg16: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from vgg16_parity.runtimes import registry

    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    done = vgg16("parity", "--configuration", "tiny")
    assert done.status == 1
    assert "Nothing was compared" in done.out
    assert done.out.count("not run:") == 12
    done = vgg16("parity", "--configuration", "tiny", "--runtimes", "all", "--quick")
    assert done.status == 1
    assert "Nothing was compared" in done.out
    assert done.out.count("not run:") == 14


@pytest.mark.slow
def test_all_runs_what_is_installed_and_tells_the_rest(
    vgg16: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vgg16_parity.runtimes import registry

    here = {"torch", "onnx", "onnx_ir", "onnxscript", "ai_edge_litert", "flatbuffers"}
    monkeypatch.setattr(registry, "find_spec", lambda n: find_spec(n) if n in here else None)
    one = ("--configuration", "tiny", "--images", CAT, "--quick")
    done = vgg16("parity", *one, "--runtimes", "all", "--json")
    assert done.status == 0, done.err
    statuses = {row["runtime"]: row["status"] for row in json.loads(done.out)["rows"]}
    assert len(statuses) == 14
    ran = {name: status for name, status in statuses.items() if status != "not run"}
    assert ran == {"torch": "holds"} | ({"litert": "holds"} if find_spec("ai_edge_litert") else {})
    # Whoever is named must run.
    done = vgg16("parity", *one, "--runtimes", "torch,ncnn")
    assert done.status == 1
    assert "Parity is not shown: ncnn (strict) did not run." in done.out
    done = vgg16("parity", *one, "--runtimes", "all,ncnn")
    assert done.status == 1
    assert "Parity is not shown: ncnn (strict) did not run." in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lanes", "fast"), "vgg16: lane: 'fast' is unknown; expected one of strict, default,"),
        (("--timeout", "nan"), "vgg16: --timeout: is nan; expected seconds, more than 0"),
        (("--timeout", "0"), "vgg16: --timeout: is 0; expected seconds, more than 0"),
        (
            ("--port", "mine"),
            "vgg16: --port: 'mine' does not name a function in a file; expected FILE.py:",
        ),
        (("--port-mode", "float16"), "vgg16: --port-mode: is the mode of a port; expected --port"),
        (("--report", "/dev/null/r.json"), "vgg16: /dev/null"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_anything_runs(
    vgg16: Command, arguments: tuple[str, str], message: str
) -> None:
    done = vgg16("parity", "--configuration", "tiny", *arguments)
    assert done.status == 2
    (refusal,) = [line for line in done.err.splitlines() if not line.startswith("seeded ")]
    assert refusal.startswith(message)


def test_no_report_replaces_a_port_or_the_older_report(vgg16: Command, tmp_path: Path) -> None:
    mine, old = tmp_path / "mine.py", tmp_path / "old.json"
    mine.write_text(WRONG)
    old.write_text("{}")
    for arguments in (
        ("--port", f"{mine}:run", "--report", mine),
        ("--against", old, "--html", old),
    ):
        done = vgg16("parity", "--configuration", "tiny", *arguments)
        assert done.status == 2
        assert "a file of its own" in done.err
    assert (mine.read_text(), old.read_text()) == (WRONG, "{}")


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


@pytest.mark.slow
def test_runtimes_may_be_spaced_and_each_is_run_once(vgg16: Command) -> None:
    chosen = ["--runtimes", "torch, torch", "--images", CAT]
    done = vgg16("parity", "--configuration", "tiny", *chosen, "--json")
    assert done.status == 0, done.err
    assert [row["runtime"] for row in json.loads(done.out)["rows"]] == ["torch", "torch"]

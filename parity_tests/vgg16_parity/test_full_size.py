"""The main job at full size: what ``make parity`` promises."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.constants import Framework
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.full

FOUR = ("torch", "keras-tensorflow", "onnx-from-keras", "onnx-from-torch")


@pytest.fixture(scope="module")
def report(full: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("full") / "report.json"
    command = [sys.executable, "-m", "vgg16_parity", "parity", "--report", str(path)]
    done = subprocess.run(
        [*command, "--runtimes", ",".join(FOUR)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_keras_pytorch_and_both_exports_agree_on_the_photographs(report: dict[str, Any]) -> None:
    assert report["holds"]
    assert report["weights"]["parameters"] == 138_357_544
    assert [(row["runtime"], row["lane"]) for row in report["rows"]] == [
        (runtime, lane) for runtime in FOUR for lane in ("strict", "default")
    ]
    for row in report["rows"]:
        assert row["status"] == "holds", row
        (case,) = row["cases"]
        assert len(case["layers"]) == 21
        assert all(layer["local"]["passed"] for layer in case["layers"])
        assert [decision["outcome"] for decision in case["decisions"]] == ["agrees"] * 2


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_full_size_weights_come_back_bit_for_bit(full: Checkpoint, framework: Framework) -> None:
    # In a process of its own: each framework holds the whole network.
    code = (
        (
            "import sys\n"
            "from parity_tests.support.helpers import same\n"
            "from vgg16_spec.checkpoint import open_checkpoint\n"
            "checkpoint = open_checkpoint(sys.argv[1])\n"
        )
        + {
            "torch": (
                "import torch, torch_impl as impl\n"
                "with torch.device('meta'):\n"
                "    model = impl.VGG()\n"
            ),
            "keras": (
                "import keras_impl as impl\nmodel = impl.functional(kernel_initializer='zeros')\n"
            ),
        }[framework]
        + (
            "impl.load_checkpoint(model, checkpoint)\n"
            "assert same(impl.to_checkpoint(model), checkpoint)\n"
        )
    )
    subprocess.run([sys.executable, "-c", code, str(full.file)], check=True, capture_output=True)


README = Path(__file__).parents[2] / "README.md"
(IN_TORCH,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
IN_KERAS = IN_TORCH.replace("torch_impl.VGG", "keras_impl.functional").replace("torch_", "keras_")


@pytest.mark.parametrize("block", [IN_TORCH, IN_KERAS], ids=["torch", "keras"])
@pytest.mark.usefixtures("full")
def test_the_readmes_python_runs(block: str) -> None:
    shown = block + "\nassert taps['predictions'].shape == (1, 1000)\n"
    subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True)

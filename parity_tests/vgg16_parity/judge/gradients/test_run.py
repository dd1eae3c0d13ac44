"""Every framework's gradients and SGD step, each in its own process, compared with the arbiter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import torch_impl
from mistakes.in_training import model_of
from parity_tests.support.helpers import PICTURES, Command
from vgg16_parity import records
from vgg16_parity.report.json import to_json
from vgg16_parity.run import run_parity
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.slow

TRAINED = ("torch", "keras-tensorflow", "keras-jax", "keras-torch")
# The one that needs the most memory: the float64 backward pass takes a minute for each.
FULL_SIZE = ("keras-tensorflow",)


def assert_gradients_hold(row: records.Row, checkpoint: Checkpoint) -> None:
    assert row.status == "holds", f"{row.runtime}: {row.reason}"
    assert [verdict.tensor for verdict in row.gradients] == [*reversed(list(checkpoint)), "images"]
    for verdict in row.gradients:
        parameter, velocity = verdict.parameter, verdict.velocity
        assert (parameter is None) is (velocity is None) is (verdict.tensor == "images")
        for judged in (verdict.gradient, parameter, velocity):
            assert judged is None or (judged.passed and judged.ratio > 0), verdict.tensor


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_and_a_step_agree_on_tiny(tiny: Checkpoint, name: str) -> None:
    (row,) = run_parity(tiny, PICTURES, [RUNTIMES[name]], gradients=True).rows
    assert_gradients_hold(row, tiny)
    assert row.record is not None
    assert {"backward gradients", "backward step"} <= set(row.record.seconds)


@pytest.mark.full
@pytest.mark.weekly
def test_gradients_and_a_step_agree_at_full_size(full: Checkpoint, tmp_path: Path) -> None:
    # By the command, so that the judging process imports no framework. One photograph: the float64
    # backward pass runs for each image and runtime, because each has its own activation pattern.
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "vgg16_parity", "parity", "--gradients", "--lanes", "strict"]
    chosen = ["--runtimes", ",".join(FULL_SIZE), "--images", str(PICTURES[0])]
    done = subprocess.run(
        [*command, *chosen, "--report", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(path.read_text())
    assert [(row["runtime"], row["status"]) for row in report["rows"]] == [
        (name, "holds") for name in FULL_SIZE
    ]
    for row in report["rows"]:
        found = [verdict["tensor"] for verdict in row["gradients"]]
        assert found == [*reversed(list(full)), "images"]
        assert row["record"]["peak_bytes"] < 6e9, row["runtime"]
    assert report["arbiter"]["peak_bytes"] < 2.5e9


def test_an_exported_graph_has_none_and_is_not_the_worse_for_it(tiny: Checkpoint) -> None:
    both = [RUNTIMES["torch"], RUNTIMES["onnx-from-torch"]]
    torch, exported = run_parity(tiny, PICTURES, both, gradients=True).rows
    assert torch.gradients
    assert (exported.status, exported.gradients) == ("holds", ())


def test_without_being_asked_for_there_are_none(tiny: Checkpoint) -> None:
    (row,) = run_parity(tiny, PICTURES, [RUNTIMES["torch"]]).rows
    assert row.gradients == ()


def test_wrong_gradients_break_the_row_and_are_named(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint, tmp_path: Path
) -> None:
    # A worker that finds another torch_impl first, which transposes fc2's gradient.
    source = Path(torch_impl.__file__).parent
    copy = tmp_path / "torch_impl"
    copy.mkdir()
    for file in source.glob("*.py"):
        (copy / file.name).write_text(file.read_text())
    gradients = copy / "gradients.py"
    right = "    return _arrays(kept), _arrays(gradients)\n"
    assert right in gradients.read_text()
    wrong = "    gradients['fc2.weight'] = gradients['fc2.weight'].T\n"
    gradients.write_text(gradients.read_text().replace(right, wrong + right))
    from vgg16_parity.runtimes import process
    from vgg16_parity.runtimes.job import Job

    real = process.environment

    def environment(job: Job) -> dict[str, str]:
        settings = real(job)
        return settings | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{settings['PYTHONPATH']}"}

    monkeypatch.setattr(process, "environment", environment)
    report = run_parity(tiny, PICTURES, [RUNTIMES["torch"]], gradients=True)
    (row,) = report.rows
    assert (row.status, row.first_wrong) == ("broken", "fc2.weight")
    assert row.reason.startswith("the gradient of fc2.weight: errors are ")
    assert not report.holds
    document = to_json(report)["rows"][0]["gradients"]
    wrong_ones = [entry["tensor"] for entry in document if not entry["gradient"]["passed"]]
    assert wrong_ones == ["fc2.weight"]


def test_logits_alone_are_not_enough(vgg16: Command, tiny: Checkpoint) -> None:
    with pytest.raises(BadInput, match="with logits only"):
        run_parity(tiny, PICTURES, [RUNTIMES["torch"]], depth="logits", gradients=True)
    outcome = vgg16("parity", "--configuration", "tiny", "--quick", "--gradients")
    assert outcome.status == 2
    assert "gradients" in outcome.err


def test_the_model_is_left_as_it_was(tiny: Checkpoint) -> None:
    model = model_of(tiny).train()
    images = np.zeros((1, 3, 64, 64), np.float32)
    taps, _ = torch_impl.run_with_gradients(model, images, np.array([3]))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    # Dropout was off: twice gives the same.
    again, _ = torch_impl.run_with_gradients(model, images, np.array([3]))
    assert all(np.array_equal(taps[name], again[name]) for name in taps)


# The four values of a pooling window in row-major order -> the gradient of each.
TIES = (
    ((1.0, 3.0, 3.0, 2.0), (0.0, 1.0, 0.0, 0.0)),
    ((5.0, 5.0, 5.0, 5.0), (1.0, 0.0, 0.0, 0.0)),
    ((0.0, 0.0, 0.0, 7.0), (0.0, 0.0, 0.0, 1.0)),
    ((1.0, 1.0, 4.0, 4.0), (0.0, 0.0, 1.0, 0.0)),
)

KERAS_TIES = """
import json, sys
import keras, numpy as np
from keras_impl import gradients as impl

TIES = json.loads(sys.argv[1])
maps = np.array([values for values, _ in TIES], np.float32).reshape(-1, 2, 2, 1)
wanted = np.array([given for _, given in TIES]).reshape(maps.shape)
images = keras.Input((2, 2, 1))
pooled = keras.layers.MaxPooling2D(2)(images)
kinks = np.array([[-1.0, 0.0, 1.0]], np.float32)
values = keras.Input((3,))
rectified = keras.layers.Activation("relu")(values)
impl._loss = lambda outputs, labels: keras.ops.sum(outputs["predictions"])
run = getattr(impl, f"_{keras.backend.backend()}")
for inputs, outputs, given, expected in (
    (images, pooled, maps, wanted),
    (values, rectified, kinks, [[0, 0, 1]]),
):
    model = keras.Model(inputs, {"predictions": outputs})
    _, found = run(model, keras.ops.convert_to_tensor(given), None)
    assert np.array_equal(keras.ops.convert_to_numpy(found[0]), expected), found
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_goes_the_arbiters_way_at_exact_ties(backend: str) -> None:
    subprocess.run(
        [sys.executable, "-c", KERAS_TIES, json.dumps(TIES)],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[4],
        check=True,
        capture_output=True,
    )


def test_pytorch_goes_the_arbiters_way_at_exact_ties() -> None:
    maps = torch.tensor([values for values, _ in TIES]).reshape(-1, 1, 2, 2).requires_grad_()
    torch.nn.MaxPool2d(2)(maps).sum().backward()
    wanted = torch.tensor([given for _, given in TIES]).reshape(maps.shape)
    assert maps.grad is not None
    assert torch.equal(maps.grad, wanted)
    kinks = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    torch.nn.ReLU()(kinks).sum().backward()
    assert kinks.grad is not None
    assert torch.equal(kinks.grad, torch.tensor([0.0, 0.0, 1.0]))

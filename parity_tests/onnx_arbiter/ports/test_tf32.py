"""A port on a GPU is judged as TF32 where its framework may compute so; tried without a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from onnx_arbiter.ports import judging, keras_layers, tf32, torch_modules
from parity_tests.support.torch_networks import images, network
from vgg16_spec.errors import BadInput

CONV = 'torch.backends.cudnn.conv.fp32_precision = "ieee"'
MATMUL = 'torch.backends.cuda.matmul.fp32_precision = "ieee"'
RNN = 'torch.backends.cudnn.rnn.fp32_precision = "ieee"'
LINEAR, LSTM = nn.Linear(3, 3), nn.LSTM(3, 3)


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every tensor say that it is on a GPU."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)


def precisions(monkeypatch: pytest.MonkeyPatch, conv: str, matmul: str) -> None:
    backends = SimpleNamespace(
        cudnn=SimpleNamespace(
            conv=SimpleNamespace(fp32_precision=conv), rnn=SimpleNamespace(fp32_precision="tf32")
        ),
        cuda=SimpleNamespace(matmul=SimpleNamespace(fp32_precision=matmul)),
    )
    monkeypatch.setattr(torch, "backends", backends)


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize(
    ("conv", "matmul", "named"),
    [
        ("tf32", "none", CONV),
        ("tf32", "tf32", f"{CONV}, {MATMUL}"),
        ("ieee", "tf32", MATMUL),
        ("ieee", "none", ""),
    ],
)
def test_torchs_settings_that_allow_tf32_are_named(
    monkeypatch: pytest.MonkeyPatch, conv: str, matmul: str, named: str
) -> None:
    precisions(monkeypatch, conv, matmul)
    assert tf32.switch(LINEAR) == named
    assert tf32.switch(LSTM) == ", ".join(filter(None, (named, RNN)))


def test_a_module_on_the_cpu_and_a_function_are_taken_as_float32() -> None:
    assert tf32.switch(LINEAR) == ""
    assert tf32.switch(lambda x: x) == ""


@pytest.mark.parametrize(
    ("platform", "precision", "allowed"),
    [
        ("gpu", None, True),
        ("gpu", "tensorfloat32", True),
        ("gpu", "highest", False),
        ("cpu", None, False),
    ],
)
def test_jax_computes_in_tf32_on_a_gpu_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, platform: str, precision: str | None, allowed: bool
) -> None:
    config = SimpleNamespace(jax_default_matmul_precision=precision)
    placed = SimpleNamespace(devices=lambda: [SimpleNamespace(platform=platform)])
    assert ("highest" in of_keras(monkeypatch, "jax", config=config)(placed)) is allowed


@pytest.mark.parametrize(
    ("place", "enabled", "allowed"),
    [("GPU:0", True, True), ("GPU:0", False, False), ("CPU:0", True, False)],
)
def test_tensorflow_computes_in_tf32_on_a_gpu_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, place: str, enabled: bool, allowed: bool
) -> None:
    switches = SimpleNamespace(tensor_float_32_execution_enabled=lambda: enabled)
    config = SimpleNamespace(experimental=switches)
    said = of_keras(monkeypatch, "tensorflow", config=config)(SimpleNamespace(device=place))
    assert ("execution(False)" in said) is allowed


def of_keras(monkeypatch: pytest.MonkeyPatch, backend: str, **module: Any) -> Any:
    """What is said of a Keras model on a stand-in for a backend, with one weight."""
    keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: backend))
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, backend, SimpleNamespace(**module))
    monkeypatch.setattr(keras_layers, "is_model", lambda _: True)
    return lambda value: tf32.switch(SimpleNamespace(weights=[SimpleNamespace(value=value)]))


@pytest.mark.slow
def test_a_port_that_may_compute_in_tf32_is_judged_so_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, port = torch_modules.reference(network(), images()), network()
    for values in port.state_dict().values():
        if values.ndim > 1:
            values.view(torch.int32).add_(2**12).bitwise_and_(-(2**13))  # the bits of TF32

    def judged(**options: Any) -> tuple[str, bool]:
        [run] = judging.judge(original, port, name="port", **options).runs
        return run.status, any("may compute in TF32 on this GPU" in note for note in run.notes)

    assert judged() == ("broken", False)
    monkeypatch.setattr(tf32, "switch", lambda _: CONV)
    assert judged() == ("holds", True)
    assert judged(mode="bfloat16") == ("holds", False)


def test_a_copy_on_the_cpu_shares_what_the_original_shares() -> None:
    module = nn.ModuleList([nn.Linear(3, 3), nn.BatchNorm1d(3)])
    module.append(module[0])
    assert torch_modules._on_cpu(module) is module
    copied = torch_modules._copied_to_cpu(module)
    assert copied is not module
    assert isinstance(copied, nn.ModuleList)
    assert copied[0] is copied[2]
    assert [*copied.state_dict()] == [*module.state_dict()]
    assert all(a.equal(b) for a, b in zip(copied.parameters(), module.parameters(), strict=True))


def test_a_module_that_cannot_be_copied_is_bad_input_of_one_line() -> None:
    module = nn.Linear(3, 3)
    module.weights = module.weight * 2
    with pytest.raises(BadInput, match=r"^Linear: cannot be copied to the CPU \(.+\)$"):
        torch_modules._copied_to_cpu(module)


@pytest.mark.slow
def test_a_reference_is_exported_whatever_was_set_by_the_newer_interface() -> None:
    code = """
import torch
from onnx_arbiter.ports import torch_modules
conv = torch.backends.cudnn.conv
conv.fp32_precision = torch.backends.cuda.matmul.fp32_precision = "ieee"
torch_modules.reference(torch.nn.Linear(3, 3), torch.ones(2, 3))
assert conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
assert torch.backends.cudnn.rnn.fp32_precision == "tf32"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])

"""The arbiter of any network on an NVIDIA GPU: runtimes, ports and references there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import onnx_arbiter.torch as of_torch
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.judge.records import Run
from onnx_arbiter.models.network import Network
from onnx_arbiter.ports import judging, torch_modules
from onnx_arbiter.ports.places import Reference
from onnx_arbiter.runtimes.registry import RUNTIMES, runtime
from onnx_arbiter.runtimes.runtime import Runtime, observe
from parity_tests.support.cuda import skip
from parity_tests.support.networks import residual
from parity_tests.support.torch_networks import images, network, settle

pytestmark = pytest.mark.cuda

DEVICE: Final = "cuda"
ROOT = Path(__file__).parents[2]
TOKENS = np.random.default_rng(1).standard_normal((2, 7, 16)).astype(np.float32)


@pytest.fixture
def engine() -> Runtime:
    if reason := RUNTIMES["onnxruntime-cuda"].missing():
        skip(reason)
    return runtime("onnxruntime-cuda")


def test_onnx_runtime_holds_in_both_ways_and_every_node_alone(engine: Runtime) -> None:
    with Arbiter(residual()) as arbiter:
        observed = observe(arbiter.network, arbiter.inputs, engine, arbiter.folder)
        report = arbiter.judge_runs(observed)
        values = [name for node in arbiter.network.graph.nodes for name in node.outputs]
    plain, default, float32 = report.runs
    assert [run.status for run in report.runs] == ["holds"] * 3, report.runs
    assert plain.notes[0] == "computes in tf32 on this machine, and is judged so"
    assert not any("Conv" in note for note in plain.notes)  # as of one that runs on the CPU
    assert [row.value for row in default.rows] == values
    assert [row.value for row in float32.rows] == values
    for row in float32.rows:
        assert row.local is not None, row.why_not_local


@pytest.mark.parametrize("way", ["default", "float32"])
def test_onnx_runtime_is_broken_at_the_node_that_differs(engine: Runtime, way: str) -> None:
    changed = residual()
    changed.graph.node[3].attribute[0].ints[:] = [0, 0, 2, 2]  # conv2's padding, on one side
    mode = "tf32" if way == "default" else "float32"
    with Arbiter(residual(), mode=mode) as arbiter:
        values = [name for node in arbiter.network.graph.nodes for name in node.outputs]
        tapped = Network.open(changed).tapped(values, arbiter.folder)
        [run] = arbiter.judge(engine.ways[way](tapped, arbiter.inputs, values), name=way).runs
    assert run.guilty is not None
    assert run.guilty.node == "conv2"


class Attention(nn.Module):
    """An encoder's layer: attention, LayerNorm, GELU, dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)
        settle(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.norm(self.layer(x)))
        return result


# The network and its inputs.
MADE: Mapping[str, tuple[Callable[[], nn.Module], Callable[[], NDArray[np.float32]]]] = {
    "convolutions": (network, images),
    "attention": (Attention, lambda: TOKENS),
}


@pytest.fixture(scope="module", params=MADE)
def original(request: pytest.FixtureRequest) -> Reference:
    made, inputs = MADE[request.param]
    return torch_modules.reference(made(), inputs())


@pytest.fixture
def port(original: Reference) -> nn.Module:
    made: nn.Module = (network if original.model.graph.name == "Network" else Attention)()
    return made.to(DEVICE)


@pytest.fixture(params=["as it comes", "ieee"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """PyTorch's own precision on a GPU, then float32."""
    backends = [torch.backends.cudnn.conv, torch.backends.cuda.matmul]  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    if request.param == "ieee":
        for backend in backends:
            backend.fp32_precision = "ieee"
    yield request.param
    for backend, value in zip(backends, before, strict=True):
        backend.fp32_precision = value


def judged(port: object, original: Reference) -> Run:
    [run] = judging.judge(original, port, name="port").runs
    return run


def says_tf32(run: Run) -> bool:
    return any("may compute in TF32 on this GPU, and is judged so" in note for note in run.notes)


def test_a_module_on_the_gpu_holds(original: Reference, port: nn.Module, precision: str) -> None:
    run = judged(port, original)
    assert run.status == "holds", run.guilty
    assert says_tf32(run) is (precision == "as it comes")
    assert any(row.local is not None for row in run.rows)


def test_a_wrong_weight_on_the_gpu_is_broken_at_its_layer(
    original: Reference, port: nn.Module, precision: str
) -> None:
    name = "blocks.1.conv" if original.model.graph.name == "Network" else "head"
    weight = port.state_dict()[f"{name}.weight"]
    weight[0] *= 1.5
    run = judged(port, original)
    assert run.status == "broken"
    assert run.guilty is not None
    # A dense layer of three axes is two nodes: a product and a sum.
    assert run.guilty.node.partition("/")[0] == name
    assert says_tf32(run) is (precision == "as it comes")


def test_a_transposed_kernel_on_the_gpu_is_broken_at_its_layer(precision: str) -> None:
    port = network().to(DEVICE)
    weight = port.state_dict()["blocks.1.conv.weight"]
    weight.copy_(weight.transpose(-1, -2).clone())
    [run] = of_torch.judge(port, network(), images()).runs
    assert run.guilty is not None
    assert run.guilty.node == "blocks.1.conv"


@pytest.mark.parametrize("made", MADE)
def test_a_reference_on_the_gpu_is_the_one_on_the_cpu(made: str) -> None:
    build, inputs = MADE[made]
    port, on_cpu, on_gpu = build(), build(), build().to(DEVICE)
    given = torch.from_numpy(inputs()).to(DEVICE)
    [first], [second] = (
        of_torch.judge(port, reference, values).runs
        for reference, values in ((on_cpu, inputs()), (on_gpu, given))
    )
    assert first == second
    assert first.status == "holds"
    assert {values.device.type for values in on_gpu.parameters()} == {DEVICE}


KERAS = """
from parity_tests.support.keras_networks import Twin, images, network
import onnx_arbiter.torch as arbiter
import jax

assert jax.default_backend() == "gpu", jax.default_backend()
model = network()
twin, given = Twin(model), images().transpose(0, 3, 1, 2).copy()
for precision in (None, "highest"):
    jax.config.update("jax_default_matmul_precision", precision)
    [run] = arbiter.judge(network(), twin, given).runs
    assert run.status == "holds", run
    assert any("TF32 on this GPU" in note for note in run.notes) is (precision is None), run.notes
    [wrong] = arbiter.judge(network(epsilon=1e-1), twin, given).runs
    assert wrong.status == "broken", wrong
"""


def test_a_keras_model_on_jax_on_the_gpu_is_judged_as_tf32_or_float32() -> None:
    # Imported here, Keras would take this process's backend, which may be missing.
    for package in ("keras", "jax"):
        if find_spec(package) is None:
            pytest.skip(reason=f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", KERAS],
        env=os.environ
        | {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

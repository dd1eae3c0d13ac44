"""ONNX Runtime on an NVIDIA GPU.

By default it computes convolutions and products in TF32. What has no kernel there, and small
integers such as shapes, it computes on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import MODES, Mode
from onnx_arbiter.runtimes.cuda_libraries import CUDA_PROVIDER, load_cuda_libraries
from onnx_arbiter.runtimes.runtime import Runtime, each_alone, refusals
from onnx_arbiter.runtimes.stoppable import run_session
from vgg16_spec.errors import BadInput, few

if TYPE_CHECKING:
    import onnx

_NAME: Final = "ONNX Runtime"
_RUNTIME: Final = "onnxruntime-cuda"
_CPU_PROVIDER: Final = "CPUExecutionProvider"
_DEFAULT: Final[Mapping[str, str]] = {}
# Its sums in float32; convolutions chosen by cuDNN's own rules, not by timing them.
FLOAT32: Final[Mapping[str, str]] = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def run_default(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file as ONNX Runtime does by default on a GPU."""
    with refusals(_NAME, model):
        return run_session(_open(str(model), _DEFAULT), inputs, wanted)


def run_float32(
    model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file in float32."""
    with refusals(_NAME, model):
        return run_session(_open(str(model), FLOAT32), inputs, wanted)


@each_alone(_NAME)
def run_node(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Compute a node alone in float32; a `NodeRunner`."""
    session = _open(model.SerializeToString(), FLOAT32, optimise=False)
    return run_session(session, inputs, wanted)


def on_the_cpu(model: Path) -> tuple[str, ...]:
    """Say which nodes of a file run on the CPU; nothing if none does."""
    with refusals(_NAME, model):
        parts = _open(str(model), _DEFAULT).get_provider_graph_assignment_info()
    nodes = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
    elsewhere = [operator for provider, operator in nodes if provider != CUDA_PROVIDER]
    if not elsewhere:
        return ()
    operators = few(sorted(set(elsewhere)), 8)
    return (f"{len(elsewhere)} of {len(nodes)} nodes run on the CPU: {operators}",)


def _open(model: str | bytes, chosen: Mapping[str, str], optimise: bool = True) -> Any:
    import onnxruntime

    _load_once()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    providers = [(CUDA_PROVIDER, dict(chosen)), _CPU_PROVIDER]
    # Without the Python layer's own second try on the CPU.
    session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
    if CUDA_PROVIDER not in (used := session.get_providers()):
        # Its library, or one that this needs (CUDA, cuDNN), was not found or refused the GPU.
        problem = f"{_NAME} could not load its {CUDA_PROVIDER} and offers {', '.join(used)}"
        raise BadInput(_RUNTIME, problem, "an NVIDIA GPU, its driver, CUDA and cuDNN")
    return session


@cache
def _load_once() -> None:
    # ONNX Runtime prints what it does not find.
    with redirect_stdout(sys.stderr):
        load_cuda_libraries()


def _tf32() -> Mode:
    return MODES["tf32"]


RUNTIME: Final = Runtime(
    _RUNTIME,
    {"default": run_default, "float32": run_float32},
    run_node,
    modes={"default": _tf32},
    says=on_the_cpu,
)

"""A session on the GPU holds every node there, or says why not; a stand-in for ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onnx_arbiter.runtimes.cuda_libraries import CUDA_PROVIDER
from vgg16_parity.runtimes.adapters import onnx as adapter
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.settings import Unavailable, onnx_providers

CPU_PROVIDER = "CPUExecutionProvider"


class Options:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


class Runtime:
    """What the real module does with a graph of two nodes, one of which may have no kernel.

    Its answers are those of ONNX Runtime 1.32 on a CPU, whose own provider is not to be used.
    """

    SessionOptions = Options

    def __init__(self, *, offered: bool = True, loads: bool = True, kernels: bool = True) -> None:
        self.offered, self.loads, self.kernels = offered, loads, kernels
        self.opened: list[Options] = []

    def get_available_providers(self) -> list[str]:
        return [CUDA_PROVIDER, CPU_PROVIDER] if self.offered else [CPU_PROVIDER]

    def InferenceSession(  # noqa: N802 - the module's own name
        self, _path: Path, options: Options, *, providers: list[Any], enable_fallback: int = 1
    ) -> Any:
        assert providers[0][0] == CUDA_PROVIDER
        assert len(providers) == 1
        assert enable_fallback == 0
        self.opened.append(options)
        places = [CUDA_PROVIDER, CUDA_PROVIDER if self.kernels else CPU_PROVIDER]
        places = places if self.loads else [CPU_PROVIDER, CPU_PROVIDER]
        nodes = [
            SimpleNamespace(
                ep_name=place, get_nodes=lambda n=name: [SimpleNamespace(name=n, op_type="Conv")]
            )
            for name, place in zip(("block1_conv1", "block1_conv2"), places, strict=True)
        ]
        used = [CUDA_PROVIDER, CPU_PROVIDER] if self.loads else [CPU_PROVIDER]
        recorded = options.entries.get("session.record_ep_graph_assignment_info") == "1"
        return SimpleNamespace(
            get_providers=lambda: used,
            get_provider_graph_assignment_info=lambda: nodes if recorded else None,
        )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Runtime], Any]:
    """A session of a stand-in, in the strict lane on the GPU."""

    def session(runtime: Runtime) -> Any:
        monkeypatch.setattr(adapter, "onnxruntime", runtime)
        providers, _ = onnx_providers(LANES["strict"], "cuda")
        return adapter.open_session(providers, Path("model.onnx"), deterministic=True)

    return session


def test_a_graph_that_is_all_on_the_gpu_is_opened_once(opened: Callable[[Runtime], Any]) -> None:
    runtime = Runtime()
    assert opened(runtime).get_providers()[0] == CUDA_PROVIDER
    (options,) = runtime.opened
    assert options.entries == {"session.record_ep_graph_assignment_info": "1"}
    assert options.use_deterministic_compute is True  # type: ignore[attr-defined]


def test_a_node_without_a_kernel_on_the_gpu_is_named(opened: Callable[[Runtime], Any]) -> None:
    with pytest.raises(RuntimeError, match=r"no CUDA kernel for block1_conv2 \(Conv, CPUExecution"):
        opened(Runtime(kernels=False))


def test_a_build_without_cuda_is_unavailable_with_the_remedy(
    opened: Callable[[Runtime], Any],
) -> None:
    with pytest.raises(
        Unavailable, match=r'no CUDAExecutionProvider, only CPUE.*"vgg16-parity\[cuda\]"'
    ):
        opened(Runtime(offered=False))


def test_a_provider_that_cannot_be_loaded_is_unavailable(opened: Callable[[Runtime], Any]) -> None:
    with pytest.raises(Unavailable, match=r"could not load its CUDAExecutionProvider and offers C"):
        opened(Runtime(loads=False))


def test_other_refusals_are_passed_on(opened: Callable[[Runtime], Any]) -> None:
    runtime = Runtime()

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("the model is damaged")

    runtime.InferenceSession = refuse  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="the model is damaged"):
        opened(runtime)


def test_the_lanes_set_tf32_and_leave_the_cpu_out() -> None:
    found = {name: onnx_providers(LANES[name], "cuda")[0] for name in ("strict", "default", "tf32")}
    assert found == {
        "strict": [(CUDA_PROVIDER, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})],
        "default": [(CUDA_PROVIDER, {})],
        "tf32": [(CUDA_PROVIDER, {"use_tf32": "1"})],
    }
    assert onnx_providers(LANES["strict"], "cpu") == ([CPU_PROVIDER], {})


def test_the_real_module_tells_who_holds_which_node(tmp_path: Any) -> None:
    # What the check of a session rests on, asked of the provider that is here.
    import onnx
    import onnxruntime

    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="only")
    values = [onnx.helper.make_tensor_value_info(n, 1, [1, 3]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(path, options, providers=[CPU_PROVIDER])
    (part,) = session.get_provider_graph_assignment_info()
    assert part.ep_name == CPU_PROVIDER
    assert [(n.name, n.op_type) for n in part.get_nodes()] == [("only", "Relu")]

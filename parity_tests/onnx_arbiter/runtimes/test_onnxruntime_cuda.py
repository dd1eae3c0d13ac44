"""ONNX Runtime on a GPU says what is missing, and what it left to the CPU; tried without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.runtimes import cuda_libraries, onnxruntime_cuda, registry
from onnx_arbiter.runtimes.cuda_libraries import CUDA_PROVIDER, load_cuda_libraries
from onnx_arbiter.runtimes.runtime import Runtime, observe
from parity_tests.support.networks import residual
from vgg16_spec.errors import BadInput

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What sessions were asked for that were opened on the CPU instead."""
    asked: list[Any] = []
    real = onnxruntime.InferenceSession

    def session(model: Any, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        (name, chosen), rest = providers
        assert (name, rest, enable_fallback) == (CUDA_PROVIDER, "CPUExecutionProvider", 0)
        asked.append(chosen)
        made = real(model, options, providers=[rest])
        monkeypatch.setattr(made, "get_providers", lambda: [CUDA_PROVIDER, rest])
        return made

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return asked


def test_the_default_is_judged_as_tf32_and_what_runs_on_the_cpu_is_counted(
    opened: list[Any],
) -> None:
    with Arbiter(residual()) as arbiter:
        runs = observe(arbiter.network, arbiter.inputs, onnxruntime_cuda.RUNTIME, arbiter.folder)
        report = arbiter.judge_runs(runs)
    plain, default, float32 = runs
    assert [run.mode.name if run.mode else None for run in runs] == ["tf32", "tf32", None]
    said = [note for note in plain.notes if "run on the CPU" in note]
    assert len(said) == 1
    assert "Conv" in said[0]
    assert "judged so" in default.notes[0]
    assert report.holds
    assert all(row.local is not None for row in report.runs[-1].rows)
    assert float32.alone is onnxruntime_cuda.run_node
    assert {} in opened
    assert {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"} in opened


def test_a_file_that_is_all_on_the_gpu_needs_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = SimpleNamespace(op_type="Conv")
    part = SimpleNamespace(ep_name=CUDA_PROVIDER, get_nodes=lambda: [conv])
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: [part])
    monkeypatch.setattr(onnxruntime_cuda, "_open", lambda *_: session)
    assert onnxruntime_cuda.on_the_cpu(Path("model.onnx")) == ()


@pytest.mark.parametrize("way", list(onnxruntime_cuda.RUNTIME.ways.values()))
def test_a_provider_that_does_not_load_is_bad_input_of_one_line(
    monkeypatch: pytest.MonkeyPatch, way: Callable[..., Any], tmp_path: Path
) -> None:
    used = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: used)
    onnx.save(residual(), tmp_path / "model.onnx")
    expected = (
        r"^onnxruntime-cuda: ONNX Runtime could not load its CUDAExecutionProvider and offers"
    )
    with pytest.raises(BadInput, match=expected) as refused:
        way(tmp_path / "model.onnx", {}, ["y"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("offers", [True, False])
def test_a_build_without_cuda_is_missing_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, offers: bool
) -> None:
    offered = ["CPUExecutionProvider", *([CUDA_PROVIDER] if offers else [])]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    if offers:
        assert isinstance(registry.runtime("onnxruntime-cuda"), Runtime)
        return
    expected = (
        r"has no CUDAExecutionProvider, only CPUExecutionProvider: pip uninstall onnxruntime, "
        r'then pip install "vgg16-parity\[cuda\]"$'
    )
    with pytest.raises(BadInput, match=expected):
        registry.runtime("onnxruntime-cuda")


def test_cudas_libraries_are_found_where_their_packages_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PyTorch may have brought them into another folder than ONNX Runtime's own."""
    for name in ("one/cudnn/lib", "one/cu13/lib", "two/cufft/lib", "two/cufft/include"):
        (tmp_path / name).mkdir(parents=True)
    places = [str(tmp_path / "one"), str(tmp_path / "two")]
    found: SimpleNamespace | None = SimpleNamespace(submodule_search_locations=places)
    monkeypatch.setattr(
        cuda_libraries, "find_spec", lambda name: found if name == "nvidia" else None
    )
    looked: list[str] = []
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda directory="": looked.append(directory))
    load_cuda_libraries()
    # cuDNN needs what is in the folder of CUDA.
    folders = ["one/cu13/lib", "one/cudnn/lib", "two/cufft/lib"]
    assert looked == [*(str(tmp_path / each) for each in folders), ""]
    found = None
    looked.clear()
    load_cuda_libraries()
    assert looked == [""]

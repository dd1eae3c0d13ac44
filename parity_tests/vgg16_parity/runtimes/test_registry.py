"""Every runtime is there or accounted for."""

from __future__ import annotations

import dataclasses
import importlib.util
import tomllib
from pathlib import Path

import pytest

from parity_tests.support.helpers import PICTURES
from vgg16_parity import run
from vgg16_parity.report.table import summary
from vgg16_parity.runtimes import registry
from vgg16_parity.runtimes.registry import (
    CHECKING,
    COMPUTING,
    DISTRIBUTIONS,
    ENGINES,
    EXPORTING,
    RUNTIMES,
    Runtime,
    own_port,
)
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    """Have the named modules look as if they were not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name in absent else real(name))


def test_what_is_missing_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "keras", "tensorflow", "tf2onnx")
    assert RUNTIMES["torch"].missing() == ""
    assert RUNTIMES["keras-tensorflow"].missing() == (
        'keras and tensorflow are not installed: pip install "vgg16-parity[keras]"'
    )
    assert RUNTIMES["onnx-from-keras"].missing() == (
        'keras and tensorflow and tf2onnx are not installed: pip install "vgg16-parity[keras,onnx]"'
    )
    assert [runtime.name for runtime in registry.installed()] == ["torch", "onnx-from-torch"]


def test_a_runtime_that_is_not_installed_is_a_row_of_the_report(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    without(monkeypatch, "jax", "torch")
    chosen = [RUNTIMES["keras-jax"], RUNTIMES["torch"]]
    report = run.run_parity(tiny, PICTURES, chosen)
    assert [(row.runtime, row.status) for row in report.rows] == [
        ("keras-jax", "not run"),
        ("torch", "not run"),
    ]
    assert 'pip install "vgg16-parity[jax]"' in report.rows[0].reason
    assert not report.holds
    assert summary(report) == "Nothing was compared: no runtime could run."


def test_every_module_that_is_needed_is_in_an_extra_that_is_named() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    everyone = (*RUNTIMES.values(), *ENGINES.values())
    runtimes = (runtime.requirement for runtime in everyone)
    for needed in (*COMPUTING.values(), *EXPORTING.values(), *runtimes, CHECKING):
        named = " ".join(line for extra in needed.extras for line in extras[extra])
        for module in needed.modules:
            (distribution, *_) = DISTRIBUTIONS.get(module, (module.replace("_", "-"),))
            assert distribution in named, (needed, module)


def test_an_engine_that_is_missing_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "ncnn", "cv2", "openvino")
    assert ENGINES["ncnn"].missing() == (
        'ncnn is not installed: pip install "vgg16-parity[engines]"'
    )
    assert ENGINES["opencv-direct"].missing().startswith("cv2 is not installed: pip install")
    assert ENGINES["keras-openvino"].missing() == (
        'openvino is not installed: pip install "vgg16-parity[engines]"'
    )
    without(monkeypatch, "ncnn", "torch", "keras")
    assert ENGINES["ncnn"].missing() == (
        'torch and ncnn are not installed: pip install "vgg16-parity[torch,engines]"'
    )
    assert ENGINES["keras-openvino"].missing() == (
        'keras is not installed: pip install "vgg16-parity[keras,engines]"'
    )


@pytest.mark.parametrize("name", ENGINES)
def test_engines_run_on_the_cpu_alone(name: str) -> None:
    expected = f"{name} runs on the CPU here, not on an NVIDIA GPU"
    assert ENGINES[name].missing("cuda") == expected
    assert not ENGINES[name].trains


@pytest.mark.parametrize(
    ("absent", "backend"),
    [((), "tensorflow"), (("tf2onnx",), "jax"), (("tensorflow", "jax2onnx"), "torch")],
)
def test_keras_exports_through_the_first_backend_that_can(
    monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...], backend: str
) -> None:
    without(monkeypatch, *absent)
    runtime = RUNTIMES["onnx-from-keras"]
    assert (runtime.keras_backend, runtime.missing()) == (backend, "")
    assert set(runtime.requirement.modules) >= {"keras", backend, "onnxruntime"}


@pytest.mark.slow
def test_the_record_names_the_backend_that_exported(
    monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
) -> None:
    chosen = dataclasses.replace(RUNTIMES["onnx-from-keras"], backend="jax")
    (row,) = run.run_parity(tiny, PICTURES, [chosen], depth="logits").rows
    assert row.status == "holds", row.reason
    assert row.record is not None
    assert row.record.flags["exported from"] == "keras on jax"
    assert {"jax", "jax2onnx"} <= set(row.record.versions)
    assert "tensorflow" not in row.record.versions


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(BadInput, match="'caffe' is unknown; expected one of torch, keras-tensorf"):
        registry.runtime("caffe")


def test_names_are_unique_and_as_documented() -> None:
    assert list(RUNTIMES) == [
        "torch",
        "keras-tensorflow",
        "keras-jax",
        "keras-torch",
        "onnx-from-keras",
        "onnx-from-torch",
    ]
    assert list(ENGINES) == [
        "opencv",
        "opencv-winograd",
        "opencv-direct",
        "openvino",
        "ncnn",
        "mnn",
        "litert",
        "keras-openvino",
    ]
    assert all(registry.runtime(name).name == name for name in (*RUNTIMES, *ENGINES))
    assert all(isinstance(runtime, Runtime) for runtime in RUNTIMES.values())


@pytest.mark.parametrize("given", ["port", "port.py", "port.py:", "port.txt:run", "port.py:a b"])
def test_a_port_is_a_function_in_a_file(given: str) -> None:
    with pytest.raises(
        BadInput, match=r"does not name a function in a file; expected FILE.py:FUNCTION"
    ):
        own_port(given)


def test_a_ports_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"port\.py: no such file; expected a Python file"):
        own_port(f"{tmp_path}/port.py:run")


def test_a_ports_mode_is_float32_unless_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "port.py"
    file.write_text("")
    assert own_port(f"{file}:run").port_mode == "float32"
    assert own_port(f"{file}:run", "bfloat16").port_mode == "bfloat16"
    with pytest.raises(BadInput, match=r"--port-mode: 'half' is unknown; expected one of float32"):
        own_port(f"{file}:run", "half")

"""The fixture ``onnx_arbiter``, in test runs of their own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import onnx
import pytest

from parity_tests.support.networks import residual

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# A port whose values are those of ONNX Runtime.
PORT = """
import numpy as np


def port(model, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]
"""
GOOD = """
def test_good(onnx_arbiter):
    arbiter = onnx_arbiter("model.onnx")
    arbiter.assert_within_rounding(port("model.onnx", arbiter.inputs))
"""
BAD = """
def test_bad(onnx_arbiter):
    arbiter = onnx_arbiter("model.onnx", seed=1)
    arbiter.assert_within_rounding(port("model.onnx", arbiter.inputs) + np.float32(1e-3))
"""
CLOSED = """
ARBITERS = []  # those that nobody has any more would be closed too


def test_several_in_one_test(onnx_arbiter):
    inputs = {"x": np.ones((2, 3, 16, 16), np.float32)}
    arbiters = [onnx_arbiter("model.onnx", inputs), onnx_arbiter("model.onnx", mode="bfloat16")]
    assert arbiters[0].inputs["x"].min() == 1
    assert arbiters[1].mode.name == "bfloat16"
    ARBITERS.extend(arbiters)
    assert all(arbiter.folder.exists() for arbiter in ARBITERS)


def test_they_are_closed_at_its_end():
    assert len(ARBITERS) == 2
    assert not any(arbiter.folder.exists() for arbiter in ARBITERS)
"""


@pytest.fixture
def tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of somebody else's with a model, without this project's settings for pytest."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    onnx.save(onnx.shape_inference.infer_shapes(residual()), pytester.path / "model.onnx")
    return pytester


def run(tests: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run tests in a process of their own, the plugin loaded as its entry point loads it."""
    tests.makepyfile(test_port=PORT + source)
    known = {} if entry_point_is_installed() else {"-p": "onnx_arbiter.pytest_plugin"}
    options = [text for pair in known.items() for text in pair]
    return tests.runpytest_subprocess("-q", "-p", "no:cacheprovider", *options)


def entry_point_is_installed() -> bool:
    from importlib.metadata import entry_points

    return "onnx_arbiter" in entry_points(group="pytest11").names


def test_a_port_that_holds_passes_and_one_that_is_wrong_fails(tests: pytest.Pytester) -> None:
    result = run(tests, GOOD + BAD)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *AssertionError: outputs: broken. Gemm fc: errors are *"])


def test_arbiters_take_options_and_are_closed_at_the_end_of_the_test(
    tests: pytest.Pytester,
) -> None:
    run(tests, CLOSED).assert_outcomes(passed=2)


def test_bad_input_fails_the_test_in_one_line(tests: pytest.Pytester) -> None:
    result = run(tests, "\ndef test_it(onnx_arbiter):\n    onnx_arbiter('none.onnx')\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E   *BadInput: none.onnx: no such file; expected an ONNX model*"])


def test_the_entry_point_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module = project["entry-points"]["pytest11"]["onnx_arbiter"]
    assert hasattr(import_module(module), "onnx_arbiter")


def test_the_plugin_imports_no_framework_and_no_numpy() -> None:
    code = (
        "import sys, onnx_arbiter.pytest_plugin; "
        "print([m for m in ('numpy', 'torch', 'keras', 'tensorflow', 'onnx', 'jax') "
        "if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"

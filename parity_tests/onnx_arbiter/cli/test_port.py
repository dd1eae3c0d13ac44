"""A port is any function of the inputs, and its values come from any framework."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from parity_tests.support.helpers import Command

RUN = """
import numpy as np
import onnxruntime

def outputs(inputs):
    session = onnxruntime.InferenceSession("small.onnx")
    inputs["x"] = np.ascontiguousarray(inputs["x"])
    return session.run(None, inputs)
"""


@pytest.mark.parametrize(
    "returned",
    [
        "outputs(inputs)",
        "tuple(outputs(inputs))",
        "outputs(inputs)[0]",
        "{'y': outputs(inputs)[0]}",
        "{'y': outputs(inputs)}",  # the only one of a list
        "torch.from_numpy(outputs(inputs)[0]).requires_grad_()",
    ],
)
def test_any_form_of_a_right_answer_is_right(
    arbiter: Command, model: Path, tmp_path: Path, returned: str
) -> None:
    imported = "import torch\n" if "torch" in returned else ""
    code = f"{imported}{RUN}\ndef f(inputs):\n    return {returned}\n"
    (tmp_path / "port.py").write_text(code)
    done = arbiter(model.name, "--port", "port.py:f")
    assert done.status == 0, done.err
    assert done.out.splitlines()[1].startswith("port.py:f  holds   y ")


def test_a_mistake_in_a_port_is_told_in_words(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "port.py").write_text(f"{RUN}\ndef f(inputs):\n    return outputs(inputs)[0] * 2\n")
    done = arbiter(model.name, "--port", "port.py:f", "--json")
    assert done.status == 1
    [run] = json.loads(done.out)["runs"]
    assert run["guilty"] == "y"
    assert run["explanation"].startswith("port.py:f: broken. Gemm fc: errors are ")
    assert "e+" not in run["explanation"].split(" times")[0]


def test_a_port_imports_its_neighbours_and_leaves_the_path_as_it_was(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "neighbour_of_the_port.py").write_text(RUN)
    (folder / "port.py").write_text("from neighbour_of_the_port import outputs as f\n")
    before = list(sys.path)
    assert arbiter(model.name, "--port", "mine/port.py:f").status == 0
    assert sys.path == before


def test_a_port_that_changes_its_input_is_judged_by_what_it_was_given(
    arbiter: Command, model: Path, tmp_path: Path
) -> None:
    body = "    found = outputs(inputs)\n    inputs['x'] *= 0\n    return found\n"
    (tmp_path / "port.py").write_text(f"{RUN}\ndef f(inputs):\n{body}")
    assert arbiter(model.name, "--port", "port.py:f").status == 0

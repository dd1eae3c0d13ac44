"""The guilty node in a folder of its own shows the same error without the arbiter."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.judge.guilty import Guilty
from onnx_arbiter.judge.repro import write_repro
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.runtimes.onnxruntime import run_node
from parity_tests.support.foreign_text import unseen
from parity_tests.support.networks import residual
from parity_tests.support.operator_tolerances import PRINTED
from vgg16_spec.errors import BadInput


def guilty_of(observed: Observed) -> Guilty:
    found = list[Guilty]()
    with Arbiter(residual()) as arbiter:
        arbiter.judge_runs([observed], on_guilty=found.append)
    [guilty] = found
    return guilty


def wrong_alone(node: Any, inputs: Any, constants: Any, types: Any) -> Any:
    """ONNX Runtime, but for another epsilon of the second BatchNorm."""
    changed = replace(node, attributes={"epsilon": 1e-3}) if node.name == "bn2" else node
    return run_node(changed, inputs, constants, types)


def printed(folder: Path) -> dict[str, tuple[float, float]]:
    """Whose values -> R and Z, as the folder's program prints them."""
    run = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert not unseen(run.stdout)
    lines = re.findall(r"^\S+, (.+): R (\S+), Z (\S+)$", run.stdout, re.MULTILINE)
    return {whose: (float(ratio), float(deviations)) for whose, ratio, deviations in lines}


def test_the_node_alone_shows_its_error(tmp_path: Path) -> None:
    guilty = guilty_of(Observed("a port", {}, wrong_alone))
    write_repro(tmp_path / "repro", guilty)
    found = printed(tmp_path / "repro")
    assert guilty.row.local is not None
    assert found["observed"][0] == pytest.approx(guilty.row.local.ratio, rel=PRINTED.limit)
    assert found["ONNX Runtime"][0] <= LIMITS.ratio.limit
    assert found["ONNX Runtime"][1] <= LIMITS.deviations.limit
    [node] = onnx.load(tmp_path / "repro" / "node.onnx").graph.node
    assert (node.name, node.op_type) == ("bn2", "BatchNormalization")


def test_values_of_the_network_are_kept_where_no_node_ran_alone(tmp_path: Path) -> None:
    with Arbiter(residual()) as arbiter:
        wrong = arbiter.value("bn2").astype(np.float32) + np.float32(0.1)
    guilty = guilty_of(Observed("a port", {"bn2": wrong}))
    write_repro(tmp_path / "repro", guilty)
    assert guilty.row.accumulated is not None
    ratio, _ = printed(tmp_path / "repro")["observed"]
    assert ratio == pytest.approx(guilty.row.accumulated.ratio, rel=PRINTED.limit)
    with np.load(tmp_path / "repro" / "observed.npz") as observed:
        np.testing.assert_array_equal(observed["bn2"], wrong)


@pytest.mark.parametrize("name", ["file", "\x1b[31m\u202eé\n"])
def test_any_name_of_a_value_can_be_written(name: str, tmp_path: Path) -> None:
    guilty = guilty_of(Observed("a port", {}, wrong_alone))
    step = guilty.step
    node = replace(step.node, outputs=(name,), name='"""\\N')
    outputs = {name: step.outputs["bn2"]}
    renamed = replace(
        guilty,
        run='a "port" \\N',
        step=replace(step, node=node, outputs=outputs, local={name: step.local["bn2"]}),
        alone={name: guilty.alone["bn2"]},
    )
    write_repro(tmp_path / "repro", renamed)
    assert printed(tmp_path / "repro")["observed"][0] > LIMITS.ratio.limit


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    guilty = guilty_of(Observed("a port", {}, wrong_alone))
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadInput):
        write_repro(tmp_path / "file" / "repro", guilty)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_node_that_is_wrong_alone_comes_before_a_value_that_is_wrong() -> None:
    with Arbiter(residual()) as arbiter:
        wrong = arbiter.value("bn1").astype(np.float32) + np.float32(0.1)
    guilty = guilty_of(Observed("a port", {"bn1": wrong}, wrong_alone))
    assert (guilty.step.node.name, guilty.is_local) == ("bn2", True)

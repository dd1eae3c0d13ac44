"""Each runtime of the table runs a graph as it is, with a tap at every value, and node by node."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.graph import Node
from onnx_arbiter.judge.records import Report
from onnx_arbiter.judge.run import NotRunAlone
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.models.network import Network
from onnx_arbiter.runtimes import opencv, openvino, registry
from onnx_arbiter.runtimes.registry import RUNTIMES, runtime
from onnx_arbiter.runtimes.runtime import Runtime, first_line, observe
from parity_tests.support.cuda import unusable
from parity_tests.support.networks import model, residual
from parity_tests.support.operator_tolerances import OWN_LEAST
from vgg16_spec.errors import BadInput

VALUES = ["conv1", "bn1", "relu1", "conv2", "bn2", "sum", "relu2", "pool", "flat", "y"]
FLOAT = np.dtype(np.float32)
# Winograd's errors are larger than those of direct sums: tested apart.
DIRECT = [name for name in RUNTIMES if name != "opencv-winograd"]
# MNN makes one operation of a sum and its ReLU, though both are outputs.
FUSED = {("mnn", "sum")}


def installed(name: str) -> Runtime:
    entry = RUNTIMES[name]
    if reason := entry.missing() or (unusable() if entry.provider else ""):
        pytest.skip(reason)
    return runtime(name)


def report_of(name: str, made: onnx.ModelProto) -> Report:
    with Arbiter(made) as arbiter:
        runs = observe(arbiter.network, arbiter.inputs, installed(name), arbiter.folder)
        return arbiter.judge_runs(runs)


@pytest.mark.parametrize("name", DIRECT)
def test_every_value_and_every_node_alone_is_within_rounding(name: str) -> None:
    plain, *tapped = report_of(name, residual()).runs
    assert [row.value for row in plain.rows] == ["y"]
    assert len(tapped) == len(runtime(name).ways)
    assert [row.value for row in tapped[-1].rows] == VALUES
    for row in tapped[-1].rows:
        assert (row.accumulated is None) == ((name, row.value) in FUSED)
        assert row.local is not None, row.why_not_local
    for run in (plain, *tapped):
        # OpenVINO's default may be bfloat16.
        assert run.status == "holds" or "OpenVINO computes in bf16" in str(run.notes), run


@pytest.mark.parametrize("name", DIRECT)
def test_another_network_is_broken_at_the_node_that_differs(name: str) -> None:
    way = list(installed(name).ways.values())[-1]
    changed = residual()
    changed.graph.node[3].attribute[0].ints[:] = [0, 0, 2, 2]  # conv2's padding, on one side
    with Arbiter(residual()) as arbiter:
        tapped = Network.open(changed).tapped(VALUES, arbiter.folder)
        [run] = arbiter.judge(way(tapped, arbiter.inputs, VALUES), name=name).runs
    assert run.guilty is not None
    assert run.guilty.node == "conv2"


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_graph_that_a_runtime_refuses_is_bad_input_of_one_line(name: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("Unheard", ["x"], ["y"], "unheard", domain="of")]
    path = tmp_path / "unheard.onnx"
    onnx.save(model(nodes, {"x": (2, 3)}, ["y"], {}, opsets=[helper.make_opsetid("of", 1)]), path)
    for run in installed(name).ways.values():
        with pytest.raises(BadInput, match=r"unheard\.onnx: .* does not run it \(.+\)$") as refused:
            run(path, {"x": np.ones((2, 3), np.float32)}, ["y"])
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_node_that_a_runtime_refuses_is_not_run_alone(name: str) -> None:
    alone = installed(name).alone
    assert alone is not None
    node = Node("unheard", "Unheard", ("x",), ("y",), domain="of", version=1)
    with pytest.raises(NotRunAlone, match=r"does not run it alone \(.+\)$"):
        alone(node, {"x": np.ones((2, 3), np.float32)}, {}, {"y": FLOAT})


def test_a_runtime_that_is_unknown_or_not_installed_is_bad_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = r"^--runtime: 'onnx' is unknown; expected one of onnxruntime, onnxruntime-cuda, "
    with pytest.raises(BadInput, match=expected):
        runtime("onnx")
    real = importlib.util.find_spec
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "cv2" else real(name))
    with pytest.raises(BadInput, match=r"^--runtime opencv: cv2 is not installed: pip install "):
        runtime("opencv")


def test_a_tap_whose_shape_opencv_cannot_know_is_left_out(tmp_path: Path) -> None:
    installed("opencv")
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        # A shape that is an input is not known when the graph is opened.
        helper.make_node("Reshape", ["x", "sizes"], ["reshaped"]),
    ]
    made = model(nodes, {"x": (2, 3)}, ["y", "reshaped"], {})
    sizes = helper.make_tensor_value_info("sizes", onnx.TensorProto.INT64, None)
    made.graph.input.append(sizes)
    given = {"x": np.ones((2, 3), np.float32)}
    prepared = opencv.with_shapes(made, given)
    assert [value.name for value in prepared.graph.output] == ["y"]


def test_symbolic_sizes_become_those_of_the_inputs() -> None:
    made = residual()
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    prepared = opencv.with_shapes(made, {"x": np.ones((3, 3, 16, 16), np.float32)})
    [output] = prepared.graph.output
    assert [axis.dim_value for axis in output.type.tensor_type.shape.dim] == [3, 5]


def test_a_way_that_refuses_the_taps_is_left_out_and_it_is_said(tmp_path: Path) -> None:
    real = installed("reference")

    def refuse(model: Path, inputs: object, wanted: object) -> dict[str, np.ndarray]:
        raise BadInput(model, "refused")

    some = Runtime("some", {"first": real.ways["float32"], "second": refuse}, real.alone)
    with Arbiter(residual()) as arbiter:
        plain, tapped = observe(arbiter.network, arbiter.inputs, some, arbiter.folder)
    assert plain.notes == ("second, every value: refused",)
    assert tapped.alone is real.alone


@pytest.mark.parametrize(("precision", "mode"), [("f32", "float32"), ("bf16", "bfloat16")])
def test_openvino_is_judged_with_as_many_bits_as_it_computes_in(
    monkeypatch: pytest.MonkeyPatch, precision: str, mode: str
) -> None:
    installed("openvino")
    import openvino as engine

    class Core:
        def get_property(self, device: str, name: str) -> Core:
            assert (device, name) == ("CPU", "INFERENCE_PRECISION_HINT")
            return self

        def get_type_name(self) -> str:
            return precision

    monkeypatch.setattr(engine, "Core", Core)
    assert openvino.default_mode().name == mode
    found, said = openvino.RUNTIME.mode("default")
    assert (found is None) == (mode == "float32")
    assert all(mode in sentence for sentence in said)


def test_mnn_writes_nothing_where_reports_go(capfd: pytest.CaptureFixture[str]) -> None:
    mnn = installed("mnn")
    with Arbiter(residual()) as arbiter:
        taps = arbiter.network.tapped(VALUES, arbiter.folder)
        capfd.readouterr()
        found = mnn.ways["default"](taps, arbiter.inputs, VALUES)
    assert set(found) == {*VALUES} - {value for _, value in FUSED}
    assert capfd.readouterr() == ("", "")


def test_a_crash_of_mnn_is_bad_input_and_it_runs_again(tmp_path: Path) -> None:
    run = installed("mnn").ways["default"]
    from onnx_arbiter.runtimes import mnn

    onnx.save(residual(), tmp_path / "right.onnx")
    images = {"x": np.ones((2, 3, 16, 16), np.float32)}
    mnn._process().submit(os.abort)
    with pytest.raises(BadInput, match=r"right\.onnx: MNN does not run it \(it crashed\)$"):
        run(tmp_path / "right.onnx", images, ["y"])
    assert set(run(tmp_path / "right.onnx", images, ["y"])) == {"y"}


@pytest.mark.parametrize("name", ["mnn", "torch"])
def test_a_bias_that_is_computed_from_constants_is_one(name: str) -> None:
    nodes = [
        helper.make_node("Neg", ["c"], ["b"], name="bias"),
        helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv"),
    ]
    rng = np.random.default_rng(0)
    constants = {"c": rng.standard_normal(3), "w": rng.standard_normal((3, 2, 1, 1))}
    made = model(
        nodes, {"x": (1, 2, 4, 4)}, ["y"], {k: v.astype(np.float32) for k, v in constants.items()}
    )
    for run in report_of(name, made).runs:
        assert run.status == "holds"
        assert "y" in {row.value for row in run.rows if row.accumulated is not None}


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 0, 0, 0), (1, 0, 0, 1)])
def test_winograd_of_opencv_is_judged_by_its_own_errors(pads: tuple[int, ...]) -> None:
    installed("opencv")
    kernels = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["conv"], name="conv", pads=pads)]
    made = model(nodes, {"x": (1, 64, 24, 23)}, ["conv"], {"w": kernels})
    [winograd, *_] = report_of("opencv-winograd", made).runs
    assert winograd.status == "holds"
    assert LIMITS.ratio.limit > winograd.worst_ratio > OWN_LEAST.limit
    assert "Winograd" in winograd.notes[0]
    with Arbiter(made) as arbiter:
        [run, *_] = observe(
            arbiter.network, arbiter.inputs, runtime("opencv-winograd"), arbiter.folder
        )
        # As direct sums they are far too large; undeclared, they show the same algorithm.
        [shown] = arbiter.judge(run.values).runs
        assert run.mode is not None
        assert shown.notes == (f"conv: as by {run.mode.algorithm}",)
        assert shown.status == "holds"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("\nno such kernel\nat conv", "no such kernel"),
        ("Exception from core.cpp:84:\nCheck failed at conv.cpp:38:\nno rank\n\n", "no rank"),
        ("Exception from core.cpp:84:", "Exception from core.cpp:84:"),
        ("", "RuntimeError"),
    ],
)
def test_of_a_refusal_the_line_that_says_why_is_shown(message: str, said: str) -> None:
    assert first_line(RuntimeError(message)) == said


def test_every_runtime_of_the_table_is_where_it_says_and_of_its_name() -> None:
    for name, entry in RUNTIMES.items():
        found = getattr(importlib.import_module(entry.module), entry.constant)
        assert isinstance(found, Runtime)
        assert found.name == name
    needs = {name: entry.needs for name, entry in RUNTIMES.items()}
    assert needs == {
        **dict.fromkeys(("onnxruntime", "onnxruntime-cuda"), "onnxruntime"),
        **dict.fromkeys(("opencv", "opencv-winograd"), "cv2"),
        "openvino": "openvino",
        "reference": "onnx",
        "torch": "onnx2pytorch",
        "mnn": "MNN",
    }
    extras = {entry.remedy.partition("[")[2].rstrip(']"') for entry in RUNTIMES.values()}
    assert extras == {"", "onnx", "cuda", "engines"}

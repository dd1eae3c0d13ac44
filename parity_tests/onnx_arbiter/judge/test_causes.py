"""The cause of what a port of a network computes, from all, some or the last of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.judge import search
from onnx_arbiter.judge.explain import explain
from onnx_arbiter.judge.guilty import Guilty
from onnx_arbiter.judge.judging import CUT
from onnx_arbiter.judge.records import Run
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.runtimes.onnxruntime import run_node
from parity_tests.support.networks import model, residual

Array = Any


def transformer(seed: int = 0) -> onnx.ModelProto:
    """A normalisation and a GELU between two products, spelt out as exporters do."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    scalars = {"two": 2.0, "epsilon": 1e-5, "root": 2**0.5, "one": 1.0, "half": 0.5}
    constants = {name: np.array(number, np.float32) for name, number in scalars.items()}
    constants |= {
        "scale": normal(16), "shift": normal(16),
        "w1": normal(16, 32, scale=0.25), "w2": normal(32, 16, scale=0.2),
    }  # fmt: skip
    constants["axes"] = np.array([-1], np.int64)
    steps: list[tuple[str, Sequence[str], str]] = [
        ("ReduceMean", ["x", "axes"], "mean"), ("Sub", ["x", "mean"], "centred"),
        ("Pow", ["centred", "two"], "squares"), ("ReduceMean", ["squares", "axes"], "variance"),
        ("Add", ["variance", "epsilon"], "raised"), ("Sqrt", ["raised"], "deviation"),
        ("Div", ["centred", "deviation"], "unit"), ("Mul", ["unit", "scale"], "scaled"),
        ("Add", ["scaled", "shift"], "normed"), ("MatMul", ["normed", "w1"], "hidden"),
        ("Div", ["hidden", "root"], "z"), ("Erf", ["z"], "erf"), ("Add", ["erf", "one"], "erf1"),
        ("Mul", ["hidden", "erf1"], "doubled"), ("Mul", ["doubled", "half"], "gelu"),
        ("MatMul", ["gelu", "w2"], "y"),
    ]  # fmt: skip
    nodes = [helper.make_node(kind, read, [made], name=made) for kind, read, made in steps]
    return model(nodes, {"x": [3, 7, 16]}, ["y"], constants)


def all_values(made: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    tapped = onnx.ModelProto()
    tapped.CopyFrom(made)
    given = {output.name for output in made.graph.output}
    for node in made.graph.node:
        for name in set(node.output) - given:
            tapped.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        tapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def judged(
    right: onnx.ModelProto,
    wrong: onnx.ModelProto,
    values: Sequence[str],
    change: Callable[[dict[str, Array]], dict[str, Array]] = lambda inputs: inputs,
) -> Run:
    """The run of a wrong port of a network that gives these values."""
    with Arbiter(right) as arbiter:
        found = all_values(wrong, change(arbiter.inputs))
        report = arbiter.judge({name: found[name] for name in values}, name="a port")
    return report.runs[0]


def with_attributes(made: onnx.ModelProto, operator: str, **attributes: Any) -> onnx.ModelProto:
    for node in made.graph.node:
        if node.op_type == operator:
            kept = [each for each in node.attribute if each.name not in attributes]
            del node.attribute[:]
            node.attribute.extend(
                [*kept, *map(helper.make_attribute, attributes, attributes.values())]
            )
    return made


def with_constant(made: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    for tensor in made.graph.initializer:
        if tensor.name == name:
            tensor.raw_data = np.array(value, np.float32).tobytes()
    return made


def by_tanh(made: onnx.ModelProto) -> onnx.ModelProto:
    """The transformer with a GELU by tanh."""
    nodes = list(made.graph.node)
    start = next(i for i, node in enumerate(nodes) if node.name == "z")
    del made.graph.node[:]
    gelu = helper.make_node("Gelu", ["hidden"], ["gelu"], name="gelu", approximate="tanh")
    made.graph.node.extend([*nodes[:start], gelu, nodes[-1]])
    return made


def test_a_port_without_mistakes_has_no_cause() -> None:
    for network in (residual(), transformer()):
        run = judged(network, network, ["y"])
        assert (run.status, run.cause) == ("holds", "")


def test_a_value_after_a_group_of_nodes_names_the_mistake_in_the_group() -> None:
    run = judged(transformer(), by_tanh(transformer()), ["hidden", "gelu", "y"])
    assert run.guilty is not None
    assert run.guilty.value == "gelu"
    assert run.cause == "as if the GELU of Erf erf were computed by tanh instead of erf"


def test_a_mistake_that_only_the_outputs_show_is_named() -> None:
    run = judged(transformer(), by_tanh(transformer()), ["y"])
    assert run.cause == "as if the GELU of Erf erf were computed by tanh instead of erf"
    run = judged(transformer(), with_constant(transformer(), "epsilon", 1e-6), ["normed", "y"])
    assert run.guilty is not None
    assert run.guilty.value == "normed"
    assert run.cause == "as if the epsilon of Add raised were 1e-06"


def test_a_mistake_made_throughout_is_named_as_such() -> None:
    wrong = with_attributes(residual(), "BatchNormalization", epsilon=1e-3)
    run = judged(residual(), wrong, ["y"])
    assert run.cause == "as if the epsilon of every BatchNormalization were 0.001"
    assert run.cause in explain_run_of(run)


def explain_run_of(run: Run) -> str:
    from onnx_arbiter.judge.explain import explain_run

    return explain_run(run)


def test_exchanged_colours_are_named() -> None:
    run = judged(residual(), residual(), ["y"], lambda inputs: {"x": inputs["x"][:, ::-1].copy()})
    assert run.cause == "as if the channels of the input x were in reverse order (RGB for BGR)"


def test_a_node_that_is_wrong_alone_is_explained_and_kept() -> None:
    found = list[Guilty]()

    def padded_elsewhere(node: Any, inputs: Any, constants: Any, types: Any) -> Any:
        changed = node
        if node.name == "conv2":
            from dataclasses import replace

            changed = replace(node, attributes={"pads": (2, 2, 0, 0)})
        return run_node(changed, inputs, constants, types)

    right = with_attributes(residual(), "Conv", pads=[0, 0, 2, 2])
    with Arbiter(right) as arbiter:
        given = all_values(right, arbiter.inputs)
        observed = Observed("a port", {"y": given["y"]}, padded_elsewhere)
        report = arbiter.judge_runs([observed], on_guilty=found.append)
    [run] = report.runs
    assert run.cause == "as if its padding were on the other side"
    assert "Conv conv2: alone, errors are" in explain(report)
    [guilty] = found
    assert (guilty.step.node.name, guilty.is_local) == ("conv2", True)
    assert guilty.alone["conv2"].shape == guilty.step.outputs["conv2"].values.shape


@pytest.mark.parametrize("values", [["y"], ["hidden", "gelu", "y"]])
def test_other_weights_have_no_cause(values: list[str]) -> None:
    run = judged(transformer(), transformer(seed=1), values)
    assert (run.status, run.cause) == ("broken", "")


def chain(length: int, wrong: int | None = None) -> onnx.ModelProto:
    """Convolutions with ReLUs, the first of them strided; one may be padded as TensorFlow does."""
    rng = np.random.default_rng(0)
    nodes, constants, read = [], {}, "x"
    for index in range(length):
        weight = rng.standard_normal((4, 4, 3, 3)) / 6 + np.eye(4)[:, :, None, None] / 9
        constants[f"w{index}"] = weight.astype(np.float32)
        padding: dict[str, Any] = {"pads": [1] * 4}
        if index == wrong:
            padding = {"auto_pad": "SAME_UPPER"}
        strides = [2, 2] if index < 2 else [1, 1]
        nodes += [
            helper.make_node("Conv", [read, f"w{index}"], [f"c{index}"], name=f"conv{index}",
                             strides=strides, **padding),
            helper.make_node("LeakyRelu", [f"c{index}"], [f"r{index}"], name=f"relu{index}"),
        ]  # fmt: skip
        read = f"r{index}"
    return model(nodes, {"x": [1, 4, 32, 32]}, [read], constants)


@pytest.mark.parametrize("length", [4, 20])
def test_one_node_among_many_is_named_by_the_outputs_alone(length: int) -> None:
    run = judged(chain(length), chain(length, wrong=1), [f"r{length - 1}"])
    words = "as if the padding of Conv conv1 were TensorFlow's SAME, with less before than after"
    assert run.cause == words


def test_a_search_that_is_cut_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.Search, "left", 0.0)
    run = judged(transformer(), by_tanh(transformer()), ["y"])
    assert (run.status, run.cause, run.notes) == ("broken", "", (CUT,))
    monkeypatch.undo()
    run = judged(transformer(), by_tanh(transformer()), ["y"])
    assert run.notes == ()


def test_the_nodes_one_by_one_leave_time_for_mistakes_made_throughout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a network is so slow that half of the time is gone with its nodes."""
    shares = list[float]()

    @contextmanager
    def at_most(_: search.Search, seconds: float) -> Iterator[None]:
        shares.append(seconds)
        yield

    monkeypatch.setattr(search.Search, "left", 1.0)
    monkeypatch.setattr(search.Search, "at_most", at_most)
    judged(residual(), residual(seed=1), ["y"])
    assert shares == [0.5, 1.0]


def test_the_search_shows_its_seconds() -> None:
    shown = list[tuple[int, int | None]]()

    @contextmanager
    def searching() -> Iterator[Callable[[int, int | None], None]]:
        yield lambda passed, most: shown.append((passed, most))

    with Arbiter(residual()) as arbiter:
        right = all_values(residual(), arbiter.inputs)["y"]
        arbiter.judge_runs([Observed("right", {"y": right})], searching=searching)
        assert not shown
        arbiter.judge_runs([Observed("wrong", {"y": right + 1})], searching=searching)
    assert {most for _, most in shown} == {round(search.SECONDS)}
    assert all(0 <= passed <= search.SECONDS for passed, _ in shown)

"""A run of convolutions by an undeclared algorithm holds; a mistake in it stays one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from onnx import helper

from mistakes import catalogue
from mistakes.catalogue import MISTAKES, Mistake
from onnx_arbiter.algorithms.fft import Fft
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.algorithms import NO_TILES
from onnx_arbiter.judge.judging import CUT
from onnx_arbiter.judge.records import Run
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.judge.search import Search
from onnx_arbiter.limits import Tolerance
from parity_tests.support.arithmetic.convolutions import Matrices, matrices
from parity_tests.support.arithmetic.graph_engines import NodeByNode
from parity_tests.support.arithmetic.simulated_engines import (
    ENGINES,
    LAVIN,
    OF_WHOLES,
    ROUGH,
    Engine,
    Simulated,
)
from parity_tests.support.helpers import PICTURES
from parity_tests.support.networks import model, residual
from vgg16_parity.inputs import pictures
from vgg16_parity.network.graph import IMAGES, graph_of
from vgg16_spec.checkpoint import Checkpoint

PERIODIC: Final = [each for each in WINOGRAD if each.outputs > 2]
RELATIVE: Final = Tolerance(1e-3, "the smallest relative mistake in a coefficient that is planted")
# What a user may give: every value, or those behind a block.
GIVEN: Final[Mapping[str, tuple[str, ...]]] = {
    "every value": ("conv1", "bn1", "relu1", "conv2", "bn2", "sum", "relu2", "pool", "flat", "y"),
    "blocks": ("relu1", "relu2", "y"),
}
by_name = pytest.mark.parametrize("algorithm", PERIODIC, ids=lambda each: each.name)


@pytest.fixture(autouse=True)
def _no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Causes are for other tests."""
    monkeypatch.setattr(Search, "left", 0.0)


@pytest.fixture(scope="module")
def network() -> Iterator[Arbiter]:
    with Arbiter(residual(size=24)) as opened:
        yield opened


def judged(
    arbiter: Arbiter, port: NodeByNode, given: str | None = "every value", *, alone: bool = False
) -> Run:
    """A run of a port that gives some values, or that is asked for each node alone."""
    values = port.values(arbiter.inputs)
    names = GIVEN[given] if given else ("y",)
    observed = {name: values[name] for name in names}
    report = arbiter.judge_runs([Observed("port", observed, port.alone if alone else None)])
    return report.runs[0]


@by_name
@pytest.mark.parametrize("given", GIVEN)
def test_an_algorithm_that_the_values_show_is_named_and_holds(
    network: Arbiter, algorithm: Winograd, given: str
) -> None:
    run = judged(network, NodeByNode(network.network.graph, matrices(algorithm)), given)
    assert (run.status, run.notes) == ("holds", (f"conv1 to conv2: as by {algorithm.name}",))


def test_an_algorithm_that_nodes_alone_show_is_named_and_holds(network: Arbiter) -> None:
    port = NodeByNode(network.network.graph, matrices(LAVIN))
    run = judged(network, port, alone=True)
    assert (run.status, run.notes) == ("holds", (f"conv1 to conv2: as by {LAVIN.name}",))
    assert all(row.local is not None for row in run.rows)


def test_each_convolution_is_judged_by_its_own_algorithm(network: Arbiter) -> None:
    engines: Mapping[str, Engine] = {"conv1": matrices(OF_WHOLES), "conv2": matrices(ROUGH)}
    run = judged(network, NodeByNode(network.network.graph, engines))
    said = f"conv1: as by {OF_WHOLES.name}; conv2: as by {ROUGH.name}"
    assert (run.status, run.notes) == ("holds", (said,))


def test_an_fft_that_a_convolution_shows_is_named_and_holds() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((16, 32, 3, 3), np.float32)
    images = rng.standard_normal((1, 32, 30, 30), np.float32)
    images[:, :, 8:] *= np.float32(
        1e-3
    )  # dark places, to which an FFT brings errors of bright ones
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1] * 4)
    made = model([node], {"x": images.shape}, ["y"], {"w": weight})
    with Arbiter(made, {"x": images}) as arbiter:
        run = judged(arbiter, NodeByNode(arbiter.network.graph, Fft(32)), None)
        assert (run.status, run.notes) == ("holds", (f"conv: as by {Fft(32).name}",))
        wrong = NodeByNode(
            arbiter.network.graph, Fft(32), with_input("conv", 1, lambda w: w + np.float32(1e-4))
        )
        assert judged(arbiter, wrong, None).status == "broken"


def test_direct_sums_are_judged_by_none(network: Arbiter) -> None:
    run = judged(network, NodeByNode(network.network.graph, None), alone=True)
    assert (run.status, run.notes) == ("holds", ())


def test_outputs_without_tiles_stay_broken_and_say_what_would_tell(network: Arbiter) -> None:
    run = judged(network, NodeByNode(network.network.graph, matrices(ROUGH)), None)
    assert (run.status, run.notes) == ("broken", (NO_TILES, CUT))
    assert run.guilty is not None


def with_wrong_coefficient(
    algorithm: Winograd, which: int, place: tuple[int, ...], factor: float
) -> Matrices:
    factors = matrices(algorithm)
    factors[which][place] *= np.float32(factor)
    return factors


by_matrix = pytest.mark.parametrize("which", [0, 1, 2], ids=["output", "kernel", "input"])
by_factor = pytest.mark.parametrize("factor", [1 + RELATIVE.limit, -1], ids=["off", "negative"])


def test_outputs_are_judged_by_what_another_run_of_the_program_shows(network: Arbiter) -> None:
    values = NodeByNode(network.network.graph, matrices(ROUGH)).values(network.inputs)
    plain, tapped = Observed("plain", {"y": values["y"]}), Observed("tapped", values)
    report = network.judge_runs([plain, tapped])
    said = f"conv1 to conv2: as by {ROUGH.name}"
    assert [(run.status, run.notes) for run in report.runs] == [("holds", (said,))] * 2
    wrong = Observed("wrong", {"y": values["y"] * np.float32(1.001)})
    report = network.judge_runs([wrong, tapped])
    assert [run.status for run in report.runs] == ["broken", "holds"]
    assert said not in report.runs[0].notes


@by_matrix
@by_factor
def test_a_wrong_coefficient_stays_broken(network: Arbiter, which: int, factor: float) -> None:
    place = list(zip(*np.nonzero(matrices(LAVIN)[which]), strict=True))[4]
    engine = with_wrong_coefficient(LAVIN, which, place, factor)
    assert judged(network, NodeByNode(network.network.graph, engine)).status == "broken"


@by_name
@by_matrix
@by_factor
@pytest.mark.slow
def test_every_wrong_coefficient_stays_broken(
    network: Arbiter, algorithm: Winograd, which: int, factor: float
) -> None:
    for place in list(zip(*np.nonzero(matrices(algorithm)[which]), strict=True))[::3]:
        engine = with_wrong_coefficient(algorithm, which, place, factor)
        port = NodeByNode(network.network.graph, engine)
        for alone in (False, True):
            assert judged(network, port, alone=alone).status == "broken", (place, alone)


Change = Callable[[Node, dict[str, Array]], tuple[Node, dict[str, Array]]]


def changed(name: str, **attributes: Any) -> Change:
    def change(node: Node, given: dict[str, Array]) -> tuple[Node, dict[str, Array]]:
        if node.name != name:
            return node, given
        return replace(node, attributes={**node.attributes, **attributes}), given

    return change


def with_input(name: str, index: int, make: Callable[[Array], Array]) -> Change:
    def change(node: Node, given: dict[str, Array]) -> tuple[Node, dict[str, Array]]:
        if node.name != name:
            return node, given
        key = node.inputs[index]
        return node, {**given, key: np.ascontiguousarray(make(given[key]), np.float32)}

    return change


PLANTED: Final[Mapping[str, tuple[str, Change]]] = {
    "epsilon": ("bn1", changed("bn1", epsilon=1e-4)),
    "turned": ("conv2", with_input("conv2", 1, lambda w: w[:, :, ::-1, ::-1])),
    "float16": ("conv2", with_input("conv2", 1, lambda w: w.astype(np.float16))),
    "mean": ("bn2", with_input("bn2", 3, lambda mean: mean + np.float32(1e-4))),
    "one weight": ("conv2", with_input("conv2", 1, lambda w: w + (w == w.max()) * 1e-3)),
    "bias": ("fc", with_input("fc", 2, lambda bias: bias + np.float32(1e-3))),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "values"])
def test_a_mistake_in_an_engine_of_an_algorithm_is_named_at_its_node(
    network: Arbiter, name: str, alone: bool
) -> None:
    node, change = PLANTED[name]
    port = NodeByNode(network.network.graph, matrices(OF_WHOLES), change)
    run = judged(network, port, alone=alone)
    assert run.status == "broken"
    assert run.guilty is not None
    assert run.guilty.node == node


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.slow
def test_a_vgg_of_any_engine_holds_as_any_graph(tiny: Checkpoint, engine: str) -> None:
    port = Simulated(ENGINES[engine]())
    port.load(tiny)
    images = pictures(tiny, PICTURES[:1]).images
    with Arbiter(graph_of(tiny), {IMAGES: images}) as arbiter:
        [run] = arbiter.judge(port.taps(images)).runs
    assert run.status == "holds"
    assert bool(run.notes) == engine.startswith("F(")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=lambda each: each.name)
@pytest.mark.slow
def test_the_catalogues_mistakes_stay_broken_whatever_the_algorithm(
    tiny: Checkpoint, engine: str, mistake: Mistake
) -> None:
    """VGG's planted mistakes, judged as those of any graph by the taps that a port gives."""
    port = Simulated(ENGINES[engine]())
    port.load(catalogue.changed(tiny, mistake))
    port.plant(mistake.name)
    images = pictures(tiny, PICTURES[:1]).images
    with Arbiter(graph_of(tiny), {IMAGES: images}) as arbiter:
        taps = port.taps(catalogue.prepared(tiny, mistake, PICTURES[:1]))
        assert arbiter.judge(taps).runs[0].status == "broken"

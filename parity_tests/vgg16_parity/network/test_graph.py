"""VGG16 as a graph gives what VGG's own walk (``reference.py``) and both frameworks give.

Errors are predicted alike but for what the walk of any graph does otherwise, each of which a test
here states: it rounds once more after the bias (an ONNX bias is added to the finished sum), counts
a bias among the weights that few bits round, lets errors pass a kink from further away, and has a
ReLU before a pooling, so that a negative maximum has no error.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import keras_impl
import torch_impl
from onnx_arbiter import error_model
from onnx_arbiter.evaluate import Step, walk
from onnx_arbiter.graph import Graph, Node
from onnx_arbiter.numeric_modes import MODES, Mode
from onnx_arbiter.operators.operation import REACH
from parity_tests.support.helpers import Batch
from parity_tests.support.keras_checks import built
from parity_tests.support.tolerances import DEVIATIONS_OF_WALKS, FLOAT64
from parity_tests.support.weights.hollow import hollow_checkpoint
from vgg16_parity.network import reference
from vgg16_parity.network.graph import IMAGES, before_relu, graph_of
from vgg16_spec.architecture import CONFIGURATIONS, MaxPooling, configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

ALL = list(MODES.values())


def walked(graph: Graph, images: NDArray[Any], modes: Sequence[Mode] = ()) -> dict[str, Step]:
    """Value -> the step that computes it."""
    [name] = graph.inputs
    steps = list(walk(graph, {name: images}, modes))
    assert not [step.why for step in steps if step.why]
    return {output: step for step in steps for output in step.outputs}


def values_of(graph: Graph, images: NDArray[Any], taps: Sequence[str]) -> dict[str, NDArray[Any]]:
    steps = walked(graph, images)
    return {tap: steps[tap].outputs[tap].values for tap in taps}


def assert_close(
    found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], taps: Sequence[str]
) -> None:
    assert list(found) == list(expected) == list(taps)
    for name, values in found.items():
        assert values.dtype == expected[name].dtype == np.float64, name
        assert values.shape == expected[name].shape, name
        error = np.abs(values - expected[name]).max()
        assert error <= FLOAT64.limit * np.abs(expected[name]).max(), name


def relus_behind_pools(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes as VGG's own walk evaluates them: a pooling reads what is before the ReLU."""
    for node in nodes:
        if node.operator != "MaxPool":
            yield node
            continue
        [before], [after] = node.inputs, node.outputs
        pooled = f"{after}_preactivation"
        yield replace(node, inputs=(f"{before}_preactivation",), outputs=(pooled,))
        yield Node(f"{after}_relu", "Relu", (pooled,), (after,))


@dataclass(frozen=True)
class Both:
    """One tap before its ReLU: what the graph gives, and what VGG's own walk gives, in a mode."""

    tap: str
    pools: bool
    exact: NDArray[np.float64]
    accumulated: NDArray[Any]
    local: NDArray[Any]
    own_accumulated: NDArray[Any]
    own_local: NDArray[Any]

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Where both mean the same: the graph pools what a ReLU let through."""
        return self.exact > 0 if self.pools else np.ones(self.exact.shape, bool)


def compared(
    checkpoint: Checkpoint, graph: Graph, images: NDArray[Any], mode: Mode
) -> dict[str, Both]:
    steps = walked(graph, images, [mode])
    layers = {layer.name: layer for layer in checkpoint.configuration.layers}
    found = {}
    for own in reference.walk(checkpoint, images, [mode]):
        value = before_relu(layers[own.tap])
        if steps[value].node.operator == "Relu":  # behind a pooling
            [value] = steps[value].node.inputs
        found[own.tap] = Both(
            own.tap,
            isinstance(layers[own.tap], MaxPooling),
            own.preactivation,
            steps[value].outputs[value].deviation(mode),
            steps[value].local_deviation(value, mode),
            own.accumulated[mode.name],
            own.local[mode.name],
        )
    assert tuple(found) == checkpoint.configuration.taps
    return found


def test_its_values_are_those_of_vggs_own_walk(tiny: Checkpoint, batch: Batch) -> None:
    images, taps = batch(tiny), tiny.configuration.taps
    found = values_of(graph_of(tiny), images, taps)
    assert_close(found, reference.run_with_taps(tiny, images), taps)


def test_before_each_relu_too(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    steps = walked(graph_of(tiny), images)
    layers = {layer.name: layer for layer in tiny.configuration.layers}
    for own in reference.walk(tiny, images):
        value, exact = before_relu(layers[own.tap]), own.preactivation
        found = steps[value].outputs[value].values
        if isinstance(layers[own.tap], MaxPooling):
            exact = np.maximum(exact, 0)
        assert np.abs(found - exact).max() <= FLOAT64.limit * np.abs(exact).max(), own.tap


@pytest.mark.parametrize("name", ["B", "C", "E"])
def test_other_columns_agree_at_odd_sizes(name: str) -> None:
    features = generate(configuration(name, include_top=False), 3)
    images = np.random.default_rng(0).standard_normal((1, 3, 35, 47))
    taps = features.configuration.taps
    found = values_of(graph_of(features), images, taps)
    assert_close(found, reference.run_with_taps(features, images), taps)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_is_a_graph_of_its_own_weights(name: str, tmp_path: Path) -> None:
    checkpoint = hollow_checkpoint(CONFIGURATIONS[name], tmp_path)
    graph = graph_of(checkpoint)
    made = {IMAGES, *graph.constants}
    for node in graph.nodes:
        assert made.issuperset(node.inputs), node
        made.update(node.outputs)
    assert made.issuperset(checkpoint.configuration.taps)
    assert graph.outputs == ("predictions",)
    assert graph.inputs[IMAGES].shape == (None, *checkpoint.configuration.input_shape)
    features = graph_of(checkpoint.without_top())
    assert features.outputs == ("block5_pool",)
    assert features.inputs[IMAGES].shape == (None, 3, None, None)
    shapes = {name: constant.shape for name, constant in graph.constants.items()}
    assert shapes == checkpoint.configuration.weight_shapes
    read = [name for node in graph.nodes for name in node.inputs if name in graph.constants]
    assert read == list(checkpoint)


def test_weights_are_read_when_they_are_needed(tiny: Checkpoint, batch: Batch) -> None:
    read = list[str]()

    class Noted(Checkpoint):
        def __getitem__(self, name: str) -> NDArray[np.float32]:
            read.append(name)
            return super().__getitem__(name)

    tensors = {name: tiny.tensor(name) for name in tiny}
    noted = Noted(tiny.configuration, tiny.metadata, tensors)
    steps = walk(graph_of(noted), {IMAGES: batch(tiny)}, [])
    assert read == []
    for step in itertools.islice(steps, 3):
        assert not step.why
    assert read == [f"block1_conv{index}.{kind}" for index in (1, 2) for kind in ("weight", "bias")]


def test_pytorch_in_float64_agrees_on_every_tap(tiny: Checkpoint, batch: Batch) -> None:
    images, taps = batch(tiny), tiny.configuration.taps
    with torch.device("meta"):
        model = torch_impl.VGG("tiny")
    torch_impl.load_checkpoint(model, tiny)
    expected = torch_impl.run_with_taps(model.double(), images.astype(np.float64))
    assert_close(values_of(graph_of(tiny), images, taps), expected, taps)


def test_keras_in_float64_agrees_on_every_tap(tiny: Checkpoint, batch: Batch) -> None:
    images, taps = batch(tiny), tiny.configuration.taps
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = built(keras_impl.functional, tiny)
        expected = keras_impl.run_with_taps(model, images.astype(np.float64))
    finally:
        keras.config.set_dtype_policy(before)
    assert_close(values_of(graph_of(tiny), images, taps), expected, taps)


@pytest.mark.parametrize("mode", ALL, ids=lambda mode: mode.name)
def test_a_layer_alone_rounds_once_more_after_the_bias(
    tiny: Checkpoint, batch: Batch, mode: Mode
) -> None:
    for tap, both in compared(tiny, graph_of(tiny), batch(tiny), mode).items():
        expected = np.square(both.own_local, dtype=np.float64)
        if not both.pools:
            bias = reference.for_channels(tiny[f"{tap}.bias"], both.exact).astype(np.float64)
            expected += mode.unit_variance * np.square(both.exact)
            expected += mode.stored**2 / 3 * np.square(bias)
        expected, found = np.sqrt(expected)[both.judged], both.local[both.judged]
        np.testing.assert_allclose(found, expected, DEVIATIONS_OF_WALKS.limit, err_msg=tap)


def test_a_maximum_that_a_relu_cut_has_no_error_of_its_own(tiny: Checkpoint, batch: Batch) -> None:
    mode = MODES["float32"]
    pools = [
        both for both in compared(tiny, graph_of(tiny), batch(tiny), mode).values() if both.pools
    ]
    cut = np.concatenate([both.local[~both.judged] for both in pools])
    assert cut.size
    assert set(cut) == {mode.smallest}


@pytest.mark.parametrize("mode", ALL, ids=lambda mode: mode.name)
def test_what_both_walks_predict_alike_accumulates_alike(
    tiny: Checkpoint, batch: Batch, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_model, "REACH", REACH)
    biases = [name for name in tiny if name.endswith(".bias")]
    bare = tiny.with_tensors({name: np.zeros_like(tiny[name]) for name in biases})
    graph = graph_of(bare)
    # Few bits are rounded before and after a bias; beside that, adding zeros rounds nothing.
    kept = len(graph.nodes[0].inputs) if mode.stored else 2
    nodes = [replace(node, inputs=node.inputs[:kept]) for node in graph.nodes]
    changed = replace(graph, nodes=tuple(relus_behind_pools(nodes)))
    for tap, both in compared(bare, changed, batch(bare), mode).items():
        limit = DEVIATIONS_OF_WALKS.limit
        np.testing.assert_allclose(both.accumulated, both.own_accumulated, limit, err_msg=tap)


def test_with_biases_errors_are_larger_by_that_rounding_at_most(
    tiny: Checkpoint, batch: Batch
) -> None:
    # y² counts K/3 times in a sum of K products, and once more: 1 + 3/K, of which the first layer,
    # with 27, has most. Kinks that errors pass from further away are too few to add to that.
    most = np.sqrt(1 + 3 / tiny["block1_conv1.weight"][0].size)
    for tap, both in compared(tiny, graph_of(tiny), batch(tiny), MODES["float32"]).items():
        ratio = (both.accumulated / both.own_accumulated)[both.judged]
        assert ratio.min() >= 1 - DEVIATIONS_OF_WALKS.limit, tap
        assert ratio.max() <= most + DEVIATIONS_OF_WALKS.limit, tap
        assert ratio.mean() > 1, tap

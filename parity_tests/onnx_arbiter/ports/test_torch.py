"""Ports of PyTorch modules are judged layer by layer, and mistakes named at their layer."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import onnx_arbiter.torch as arbiter
from onnx_arbiter.judge.records import Run
from onnx_arbiter.ports import judging, torch_modules
from onnx_arbiter.ports.places import Reference
from parity_tests.support.torch_networks import OtherNames, images, network, settle
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.slow

CONV = "blocks.1.conv"


@pytest.fixture(scope="module")
def original() -> Reference:
    """The network, exported once: that takes seconds."""
    return torch_modules.reference(network(), images())


def judged(port: object, original: Reference) -> Run:
    [run] = judging.judge(original, port, name="port").runs
    return run


def guilty(run: Run) -> str:
    assert run.guilty is not None, run.notes
    return run.guilty.node


def test_the_reference_knows_its_modules_and_their_calls(original: Reference) -> None:
    names = [place.name for place in original.places]
    assert names == [
        "stem.0", "stem.1", "stem",
        "blocks.0.conv", "blocks.0.bn", "blocks.0.relu", "blocks.0.relu@1", "blocks.0",
        "blocks.1.conv", "blocks.1.bn", "blocks.1.relu", "blocks.1.relu@1", "blocks", "blocks.1",
        "pool", "fc", "head",
    ]  # fmt: skip
    nodes = {node.name for node in original.model.graph}
    assert {"stem.0", "blocks.0.bn", "fc", "head"} < nodes
    assert original.places[0].shape == (2, 6, 12, 12)


def test_a_port_of_the_same_names_holds_and_every_layer_is_judged_alone_too(
    original: Reference,
) -> None:
    run = judged(network(), original)
    assert run.status == "holds", run.guilty
    assert run.notes == ("17 of 17 layers matched by name",)
    alone = {row.node for row in run.rows if row.local is not None}
    assert alone >= {"stem.0", "blocks.0.conv", "blocks.0.bn", "blocks.1.relu@1", "pool", "head"}


@pytest.mark.parametrize("stem_relu", [True, False])
def test_a_port_of_other_names_is_matched_by_order(original: Reference, stem_relu: bool) -> None:
    run = judged(OtherNames(network(), stem_relu), original)
    if stem_relu:
        assert run.status == "holds", run.guilty
        assert run.notes[0].endswith("layers matched by order, kind and shape")
        assert {"stem.0", CONV, "head"} <= {row.node for row in run.rows if row.accumulated}
    else:
        assert guilty(run) == "blocks.0.conv"


def test_a_port_that_pads_in_a_layer_of_its_own_holds(original: Reference) -> None:
    port = network()
    conv = port.stem[0]
    assert isinstance(conv, nn.Conv2d)
    conv.padding = (0, 0)
    port.stem = nn.Sequential(OrderedDict({"pad": nn.ZeroPad2d(1), "0": conv, "1": nn.ReLU()}))
    run = judged(port, original)
    assert run.status == "holds", run.guilty
    [row] = [row for row in run.rows if row.node == "stem.0"]
    assert row.accumulated is not None
    assert "another shape" in row.why_not_local


def test_another_epsilon_is_named_at_its_batch_norm(original: Reference) -> None:
    run = judged(network(epsilon=1e-3), original)
    assert guilty(run) == "blocks.1.bn"
    assert run.guilty is not None
    assert run.guilty.local is not None
    assert not run.guilty.local.passed


def test_a_missing_relu_is_named(original: Reference) -> None:
    assert guilty(judged(network(stem_relu=False), original)) == "stem.1"
    # Not called a second time; its block's output is the same value of the graph.
    assert guilty(judged(network(last_relu=False), original)) == "blocks.1.relu@1"


@pytest.mark.parametrize("layer", ["fc", CONV])
def test_a_transposed_weight_is_named(original: Reference, layer: str) -> None:
    port = network()
    weight = port.state_dict()[f"{layer}.weight"]
    weight.copy_(weight.transpose(-1, -2).clone())
    assert guilty(judged(port, original)) == layer


def test_a_function_is_judged_by_its_output_or_by_layers_of_the_references_names(
    original: Reference,
) -> None:
    port = network().eval()

    def outputs(values: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = port(torch.from_numpy(values))
            return result

    def layers(values: np.ndarray) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            stem = port.stem(torch.from_numpy(values))
            # Channels last, as another framework would give it, and wrong from here on.
            return {"stem": stem.permute(0, 2, 3, 1), "blocks.0.conv": 1.001 * stem}

    assert judged(outputs, original).status == "holds"
    run = judged(layers, original)
    assert [row.status for row in run.rows] == ["holds", "broken"]
    assert guilty(run) == "blocks.0.conv"
    assert [row.node for row in run.rows] == ["stem.1", "blocks.0.conv"]


def test_modules_are_left_as_they_were() -> None:
    port, original = network(), network()
    port.train()
    port.stem.eval()
    original.train()
    before = {name: values.clone() for name, values in port.state_dict().items()}
    assert arbiter.judge(port, original, images()).holds
    assert port.training
    assert original.training
    assert not port.stem.training
    assert all(torch.equal(values, before[name]) for name, values in port.state_dict().items())
    assert not any(module._forward_hooks for module in port.modules())


def test_hooks_are_removed_where_a_port_raises(original: Reference) -> None:
    port = network()
    port.head = torch.nn.Linear(3, 5)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        judged(port, original)
    assert not any(module._forward_hooks for module in port.modules())


def test_assert_within_rounding_says_what_is_wrong() -> None:
    original, inputs = network(), torch.from_numpy(images())
    arbiter.assert_within_rounding(network(), original, inputs)
    with pytest.raises(AssertionError, match=r"^mine: broken\. BatchNormalization blocks\.1\.bn: "):
        arbiter.assert_within_rounding(network(epsilon=1e-3), original, inputs, name="mine")


def test_other_weights_are_wrong_from_the_first_layer(original: Reference) -> None:
    port = network()
    settle(port, seed=1)
    assert guilty(judged(port, original)) == "stem.0"


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        (3, r"^port: is of the type int; expected a PyTorch module, a Keras model or a function"),
        (lambda x: {"stem.9": x}, r"^port: no layer is called stem\.9; expected stem\.0, stem\.1"),
        (lambda x: [x, x], r"^port: gives 2 outputs; expected 1, as the reference does"),
        (lambda _: {}, r"^port: nothing to compare"),
    ],
)
def test_a_port_that_cannot_be_judged_is_bad_input(
    original: Reference, port: object, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        judged(port, original)


def test_a_module_that_cannot_be_exported_is_bad_input_of_one_line() -> None:
    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(BadInput, match=r"^Branching: PyTorch cannot export it \(") as refused:
        arbiter.judge(lambda x: x, Branching(), images())
    assert "\n" not in str(refused.value)


class Functions(torch.nn.Module):
    """A convolution, a ReLU, a sum, a ReLU, a mean; the first ReLU is a module or not."""

    def __init__(self, modules: bool, shift: float = -1.0) -> None:
        super().__init__()
        self.names = ("a", "b") if modules else ("c", "d")
        self.add_module(self.names[0], torch.nn.Conv2d(3, 4, 3))
        self.relu = torch.nn.ReLU() if modules else torch.relu
        self.add_module(self.names[1], torch.nn.ReLU())
        self.shift = shift
        settle(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, last = (self.get_submodule(name) for name in self.names)
        result: torch.Tensor = last(self.relu(first(x)) + self.shift).mean((2, 3))
        return result


@pytest.mark.parametrize("shift", [-1.0, -1.1])
def test_a_wrong_pair_is_no_mistake_where_the_outputs_hold(shift: float) -> None:
    reference = torch_modules.reference(Functions(modules=False), images())
    port = Functions(modules=True, shift=shift)
    run = judged(port, reference)
    if shift == -1:
        assert run.status == "holds"
        assert run.notes[1].endswith("are other layers: they differ, the outputs do not")
    else:
        assert run.status == "broken"


class TwoNames(torch.nn.Module):
    """A layer that is registered under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 5)
        self.again = self.first
        settle(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.again(x) - 1
        return result


def test_a_module_of_two_names_is_a_layer() -> None:
    reference = torch_modules.reference(TwoNames(), np.ones((2, 4), np.float32))
    assert len(reference.places) == 1
    run = judged(TwoNames(), reference)
    assert run.status == "holds"
    assert len(run.rows) == 2


class TwoInputs(torch.nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.left, self.right = torch.nn.Linear(4, 5), torch.nn.Linear(3, 5)
        self.factor = factor
        settle(self)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left, right = self.left(a), self.factor * self.right(b)
        return left, left * right


def test_several_inputs_and_outputs_are_judged_by_order_and_by_name() -> None:
    a, b = np.ones((2, 4), np.float32), np.full((2, 3), 0.3, np.float32)
    for inputs in ((a, b), {"a": a, "b": b}):
        reference = torch_modules.reference(TwoInputs(), inputs)
        assert judged(TwoInputs(), reference).status == "holds"
        run = judged(TwoInputs(1.001), reference)
        assert [row.value for row in run.rows if row.status == "broken"] == [
            reference.outputs[1].value
        ]


def test_nodes_of_one_module_have_names_of_their_own() -> None:
    """Attention calls one product twice, under names of which one ends in a number already."""
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1, enable_nested_tensor=False
    )
    made = torch_modules.reference(encoder, np.zeros((1, 5, 16), np.float32))
    names = [node.name for node in made.model.graph]
    assert len(set(names)) == len(names)

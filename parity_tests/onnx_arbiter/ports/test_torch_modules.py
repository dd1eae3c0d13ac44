"""A module's calls are found in its graph by the exporter's scopes, and tapped by hooks.

The graphs are written by hand here: an export takes seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from onnx_arbiter.ports import torch_modules
from onnx_arbiter.ports.places import CONTAINER
from onnx_arbiter.ports.torch_settings import readable_tf32
from vgg16_spec.errors import BadInput

# operator, inputs, output, the scopes around it; of a graph that reads x and gives y
Row = tuple[str, list[str], str, list[str]]


def graph(rows: Sequence[Row]) -> ir.Model:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = []
    for operator, inputs, output, scopes in rows:
        node = helper.make_node(operator, inputs, [output], name=f"node_{output}")
        if scopes:
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=repr(scopes))
        nodes.append(node)
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, (2, 3))],
        [helper.make_tensor_value_info("y", kind, (2, 3))],
        [onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")],
        value_info=[helper.make_tensor_value_info(row[2], kind, (2, 3)) for row in rows[:-1]],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return ir.from_proto(model)


class Block(nn.Module):
    """A normalisation and an activation, which is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.act = nn.BatchNorm1d(3), nn.ReLU()


MODULES = dict(nn.ModuleDict({"block": Block(), "unused": nn.ReLU()}).named_modules())
ROWS: list[Row] = [
    ("Exp", ["w"], "e", ["", "block", "block.norm", "exp"]),  # of constants alone
    ("Mul", ["x", "e"], "a", ["", "block", "block.norm", "mul"]),
    ("Add", ["a", "w"], "b", ["", "block", "block.norm", "add"]),
    ("Relu", ["b"], "c", ["", "block", "block.act", "relu"]),
    ("Neg", ["c"], "d", ["", "block", "neg"]),
    ("Relu", ["d"], "f", ["", "block", "block.act", "relu"]),
    ("Tanh", ["f"], "h", ["", "tanh"]),
    ("Sin", ["h"], "y", []),
]


def test_calls_are_places_in_the_order_of_their_outputs() -> None:
    model = graph(ROWS)
    places = torch_modules._places(model, MODULES)
    assert [(p.name, p.kind, p.value, p.one_node) for p in places] == [
        ("block.norm", "batch norm", "b", False),
        ("block.act", "relu", "c", True),
        ("block.act@1", "relu", "f", True),
        ("block", CONTAINER, "f", False),
    ]
    assert all(place.shape == (2, 3) and place.before is None for place in places)
    assert [str(node.name) for node in model.graph] == [
        "node_e", "block.norm/mul", "block.norm/add", "block.act", "block/neg", "block.act@1",
        "tanh", "Sin",
    ]  # fmt: skip


def test_a_module_of_two_outputs_is_no_place() -> None:
    rows: list[Row] = [
        ("Exp", ["x"], "a", ["", "block", "block.norm", "exp"]),
        ("Neg", ["a"], "b", ["", "block", "block.norm", "neg"]),
        ("Add", ["a", "b"], "y", ["", "block", "add"]),
    ]
    places = torch_modules._places(graph(rows), MODULES)
    assert [(place.name, place.value) for place in places] == [("block", "y")]


def test_nodes_of_one_name_are_numbered() -> None:
    model = graph(ROWS)
    for node, name in zip(model.graph, ["a", "a", "b", "a", "a_1", "c", "a_2", "b"], strict=True):
        node.name = name
    torch_modules._number(model)
    assert [str(node.name) for node in model.graph] == [
        "a", "a_3", "b", "a_4", "a_1", "c", "a_2", "b_1",
    ]  # fmt: skip


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = {
        "block": nn.Sequential(OrderedDict({"fc": nn.Linear(3, 4), "norm": nn.BatchNorm1d(4)})),
        "act": nn.ReLU(inplace=True),
        "drop": nn.Dropout(0.5),
    }
    return nn.Sequential(OrderedDict(layers))


X = np.random.default_rng(0).standard_normal((5, 3), np.float32)


def test_every_module_is_tapped_in_evaluation_mode_and_left_as_it_was() -> None:
    module = small()
    module.train()
    block = module.get_submodule("block")
    block.eval()
    before = {name: values.clone() for name, values in module.state_dict().items()}
    with torch_modules.computed(module, [X]) as found:
        assert not any(each.training for each in module.modules())
        assert [(tap.name, tap.kind, tap.read) for tap in found.taps] == [
            ("block.fc", "dense", (5, 3)),
            ("block.norm", "batch norm", (5, 4)),
            ("block", CONTAINER, ()),
            ("act", "relu", (5, 4)),
            ("drop", "dropout", (5, 4)),
        ]
        assert all(tap.before is None and tap.channels_last is False for tap in found.taps)
        assert [tap.call is None for tap in found.taps] == [False, False, True, False, False]
        norm, act = found.taps[1].values, found.taps[3].values
        # A later module worked in place.
        assert norm.min() < 0
        np.testing.assert_array_equal(act, np.maximum(norm, 0))
        [output] = found.outputs
        np.testing.assert_array_equal(output, act)
        call = found.taps[1].call
        assert call is not None
        np.testing.assert_array_equal(call(found.taps[0].values), norm)
    assert [each.training for each in (module, block, module.get_submodule("act"))] == [
        True, False, True,
    ]  # fmt: skip
    assert not any(each._forward_hooks for each in module.modules())
    assert all(torch.equal(v, before[name]) for name, v in module.state_dict().items())


def test_modes_and_hooks_are_as_before_where_a_module_raises() -> None:
    module = small()
    with pytest.raises(RuntimeError), torch_modules.computed(module, [X[:, :2]]):
        pass
    assert all(each.training for each in module.modules())
    assert not any(each._forward_hooks for each in module.modules())


class Twice(nn.Module):
    """One module called twice, and outputs in a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.act(x), self.act(-y)


def test_calls_of_one_module_are_numbered_and_outputs_keep_their_order() -> None:
    with torch_modules.computed(Twice(), [X, X]) as found:
        assert [tap.name for tap in found.taps] == ["act", "act@1"]
        for output, values in zip(found.outputs, (X, -X), strict=True):
            np.testing.assert_array_equal(output, np.maximum(values, 0))


def test_a_copy_shares_what_the_module_shares_and_nothing_with_it() -> None:
    module = small()
    module.add_module("again", module.get_submodule("block"))
    module.get_parameter("block.fc.bias").requires_grad_(False)
    assert torch_modules._on_cpu(module) is module
    copied = torch_modules._copied_to_cpu(module)
    state = module.state_dict()
    assert copied.state_dict().keys() == state.keys()
    for name, values in copied.state_dict().items():
        assert torch.equal(values, state[name])
    block, again = copied.get_submodule("block"), copied.get_submodule("again")
    assert block is again
    assert block is not module.get_submodule("block")
    grads = {name: p.requires_grad for name, p in copied.named_parameters()}
    assert grads == {name: p.requires_grad for name, p in module.named_parameters()}


def test_a_module_that_cannot_be_copied_is_bad_input() -> None:
    module = small()
    module.__dict__["lock"] = (each for each in "x")
    with pytest.raises(BadInput, match=r"^Sequential: cannot be copied to the CPU \(") as refused:
        torch_modules._copied_to_cpu(module)
    assert "\n" not in str(refused.value)


def test_only_modules_are_modules() -> None:
    assert torch_modules.is_module(small())
    assert not torch_modules.is_module(small)
    assert not torch_modules.is_module(nn.ReLU)


class Cudnn:
    """PyTorch's settings: the older interface is readable only where the newer agrees with it."""

    def __init__(self, conv: str, rnn: str, older: str) -> None:
        self.conv, self.rnn = (SimpleNamespace(fp32_precision=each) for each in (conv, rnn))
        self._older = older

    @property
    def allow_tf32(self) -> bool:
        if {self.conv.fp32_precision, self.rnn.fp32_precision} != {self._older}:
            raise RuntimeError("mix of the legacy and new APIs")
        return self._older == "tf32"


@pytest.mark.parametrize("older", ["tf32", "none"])
@pytest.mark.parametrize("before", list(product(("ieee", "tf32", "none"), repeat=2)))
def test_settings_of_tf32_are_readable_within_and_as_before_behind(
    monkeypatch: pytest.MonkeyPatch, before: tuple[str, str], older: str
) -> None:
    cudnn = Cudnn(*before, older)
    monkeypatch.setattr(torch, "backends", SimpleNamespace(cudnn=cudnn))
    with pytest.raises(ZeroDivisionError), readable_tf32():
        assert cudnn.allow_tf32 is (older == "tf32")
        raise ZeroDivisionError
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == before

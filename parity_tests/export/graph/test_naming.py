"""Nodes are called after the weights that they read; operators mean the same in every opset."""

from __future__ import annotations

from typing import Any, Final

import onnx
import onnx_ir as ir
import pytest

from export.constants import OPSET
from export.graph import canonical, naming, opset
from export.options import OLDEST_OPSET
from parity_tests.support.graphs.graphs import parsed
from vgg16_spec.errors import BadInput

_CONV: Final = (
    "(float[N,3,8,6] images, float[3,3,1,1] block2_conv3__weight, float[3] block2_conv3__bias, "
    "float[3,3,1,1] block3_conv1__weight) => (float y)"
)
_C1: Final = "c = Conv(images, block2_conv3__weight, block2_conv3__bias)"
_DENSE: Final = "(float[N,4] images, float[4,4] fc1__weight, float[4,4] fc2__weight) => (float y)"
NEWEST: Final = onnx.defs.onnx_opset_version()


def named(signature: str, body: str) -> list[tuple[str, str, str]]:
    """Operator, name and result of every node of a graph that has been named."""
    model = parsed(signature, body)
    naming.name(model)
    return [(node.op_type, str(node.name), str(node.outputs[0].name)) for node in model.graph]


def test_a_layer_is_called_after_its_weight_and_its_activation_too() -> None:
    assert named(_CONV, f"{_C1} y = Relu(c)") == [
        ("Conv", "block2_conv3", "block2_conv3_preactivation"),
        ("Relu", "block2_conv3_relu", "features"),
    ]


def test_a_layer_without_activation_gives_its_own_name() -> None:
    assert named(_CONV, f"{_C1} d = Conv(c, block3_conv1__weight) y = Relu(d)") == [
        ("Conv", "block2_conv3", "block2_conv3"),
        ("Conv", "block3_conv1", "block3_conv1_preactivation"),
        ("Relu", "block3_conv1_relu", "features"),
    ]


def test_names_come_from_weights_not_from_positions() -> None:
    reversed_order = "c = Conv(images, block3_conv1__weight) y = Conv(c, block2_conv3__weight)"
    assert [name for _, name, _ in named(_CONV, reversed_order)] == ["block3_conv1", "block2_conv3"]


def test_a_doubled_layer_is_numbered() -> None:
    body = f"{_C1} r = Relu(c) d = Conv(r, block2_conv3__weight) s = Relu(d) y = Relu(s)"
    assert named(_CONV, body) == [
        ("Conv", "block2_conv3", "block2_conv3_preactivation"),
        ("Relu", "block2_conv3_relu", "block2_conv3"),
        ("Conv", "block2_conv3_2", "block2_conv3_2_preactivation"),
        ("Relu", "block2_conv3_2_relu", "block2_conv3_2"),
        ("Relu", "block2_conv3_2_relu_2", "features"),
    ]


def test_a_second_activation_gets_a_name_of_its_own() -> None:
    body = f"{_C1} r = Relu(c) s = Relu(r) t = Relu(s) y = MaxPool<kernel_shape=[2,2]>(t)"
    assert named(_CONV, body) == [
        ("Conv", "block2_conv3", "block2_conv3_preactivation"),
        ("Relu", "block2_conv3_relu", "block2_conv3"),
        ("Relu", "block2_conv3_relu_2", "block2_conv3_relu_2"),
        ("Relu", "block2_conv3_relu_3", "block2_conv3_relu_3"),
        ("MaxPool", "block2_pool", "features"),
    ]


def test_pooling_is_called_after_its_block_and_numbered() -> None:
    body = (
        f"{_C1} p = MaxPool<kernel_shape=[2,2]>(c) q = AveragePool<kernel_shape=[2,2]>(p) "
        "d = Conv(q, block3_conv1__weight) r = MaxPool<kernel_shape=[2,2]>(d) y = Flatten(r)"
    )
    assert named(_CONV, body) == [
        ("Conv", "block2_conv3", "block2_conv3"),
        ("MaxPool", "block2_pool", "block2_pool"),
        ("AveragePool", "block2_pool_2", "block2_pool_2"),
        ("Conv", "block3_conv1", "block3_conv1"),
        ("MaxPool", "block3_pool", "block3_pool"),
        ("Flatten", "flatten", "logits"),
    ]


def test_what_comes_before_every_layer_is_called_after_the_images() -> None:
    body = "p = MaxPool<kernel_shape=[2,2]>(images) r = Relu(p) y = Conv(r, block2_conv3__weight)"
    assert [name for _, name, _ in named(_CONV, body)] == [
        "images_pool",
        "images_relu",
        "block2_conv3",
    ]


def test_no_value_is_called_as_an_input_is() -> None:
    signature = "(float[N,3,8,6] images, float[3,3,1,1] images__weight) => (float y)"
    body = "c = Conv(images, images__weight) d = Conv(c, images__weight) y = Relu(d)"
    assert named(signature, body) == [
        ("Conv", "images_2", "images_2"),
        ("Conv", "images_3", "images_3_preactivation"),
        ("Relu", "images_3_relu", "features"),
    ]


def test_a_dense_layer_at_the_end_gives_the_logits() -> None:
    body = "f = Flatten(images) c = Gemm<transB=1>(f, fc1__weight) r = Relu(c) g = Flatten(r) "
    assert named(_DENSE, body + "y = Gemm<transB=1>(g, fc2__weight)") == [
        ("Flatten", "flatten", "flatten"),
        ("Gemm", "fc1", "fc1_preactivation"),
        ("Relu", "fc1_relu", "fc1"),
        ("Flatten", "flatten_2", "flatten_2"),
        ("Gemm", "fc2", "logits"),
    ]


def test_no_two_values_have_one_name() -> None:
    body = (
        "c = Gemm(images, fc1__weight) r = Relu(c) s = Relu(r) d = Gemm(s, fc1__weight) "
        "t = Relu(d) u = Relu(t) e = Gemm(u, fc1__weight) y = Gemm(e, fc2__weight)"
    )
    nodes = named(_DENSE, body)
    for names in zip(*nodes, strict=True):
        if names[0] != "Gemm":
            assert len(set(names)) == len(names)


def every_operator() -> ir.Model:
    """One node of each operator of a canonical graph of the project's networks."""
    return parsed(
        "(float[N,3,8,6] images, float[3,3,1,1] block1_conv1__weight, float[2,36] fc1__weight)"
        " => (float y)",
        "c = Conv(images, block1_conv1__weight) r = Relu(c) "
        "p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r) f = Flatten(p) "
        "y = Gemm<transB=1>(f, fc1__weight)",
    )


@pytest.mark.parametrize("version", range(OLDEST_OPSET, NEWEST + 1))
def test_the_networks_operators_are_the_same_in_every_opset(version: int) -> None:
    model = every_operator()
    naming.name(model)
    used = {node.op_type for node in model.graph}
    # AveragePool gained an attribute in opset 19; the networks have none.
    assert used == set(canonical.OPERATORS) - {"AveragePool"}
    opset.set_opset(model, version)
    assert model.opset_imports == {"": version}
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize(("version", "file_format"), [(13, 7), (15, 8), (18, 8), (19, 9), (21, 10)])
def test_the_file_format_is_the_oldest_that_has_the_opset(version: int, file_format: int) -> None:
    model = every_operator()
    opset.set_opset(model, version)
    assert model.ir_version == file_format


def test_an_operator_that_changed_between_opsets_is_refused_by_name() -> None:
    model = parsed(_CONV, "y = AveragePool<kernel_shape=[2,2]>(images)")
    model.graph[0].name = "block9_pool"
    opset.set_opset(model, 13)
    with pytest.raises(
        ValueError, match=r"AveragePool block9_pool is another operator in opset 19"
    ):
        opset.set_opset(model, 19)


class Doctored:
    """A schema but for one of its parts."""

    def __init__(self, schema: Any, **parts: Any) -> None:
        self.attributes = parts.get("attributes", schema.attributes)
        self.inputs = parts.get("inputs", schema.inputs)
        self.outputs = parts.get("outputs", schema.outputs)


@pytest.mark.parametrize("part", ["attributes", "inputs", "outputs"])
def test_attributes_inputs_and_outputs_are_compared(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = onnx.defs.get_schema
    other = {
        "attributes": genuine("Selu", 18).attributes,
        "inputs": genuine("Clip", 18).inputs,
        "outputs": genuine("TopK", 18).outputs,
    }

    def doctored(op_type: str, version: int) -> Any:
        schema = genuine(op_type, version)
        changed = op_type == "Relu" and version == 16
        return Doctored(schema, **{part: other[part]}) if changed else schema

    monkeypatch.setattr(onnx.defs, "get_schema", doctored)
    model = every_operator()
    naming.name(model)
    with pytest.raises(ValueError, match=r"Relu block1_conv1_relu is another operator in opset 16"):
        opset.set_opset(model, 16)
    opset.set_opset(model, 17)


def test_a_changed_default_is_another_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = onnx.defs.get_schema
    # Both have the attribute `axis`; Flatten's default is 1, Gather's is 0.
    axis = {"axis": genuine("Gather", 18).attributes["axis"]}

    def doctored(op_type: str, version: int) -> Any:
        schema = genuine(op_type, version)
        changed = op_type == "Flatten" and version == 16
        return Doctored(schema, attributes=axis) if changed else schema

    monkeypatch.setattr(onnx.defs, "get_schema", doctored)
    model = every_operator()
    naming.name(model)
    with pytest.raises(ValueError, match=r"Flatten flatten is another operator in opset 16"):
        opset.set_opset(model, 16)


def test_the_newest_opset_is_the_newest_that_the_runtime_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []

    def opens(version: int) -> bool:
        tried.append(version)
        return version <= NEWEST - 2

    monkeypatch.setattr(opset, "_opens", opens)
    assert opset.newest_opset() == NEWEST - 2
    assert tried == [NEWEST, NEWEST - 1, NEWEST - 2]
    monkeypatch.setattr(opset, "_opens", lambda version: version == OLDEST_OPSET)
    assert opset.newest_opset() == OLDEST_OPSET
    # Without ONNX Runtime, nothing is asked of it.
    monkeypatch.setattr(opset, "find_spec", {"onnxruntime": None}.__getitem__)
    assert opset.newest_opset() == NEWEST


def test_an_opset_that_is_too_old_or_too_new_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opset, "_opens", lambda version: version <= OLDEST_OPSET + 2)
    for version in range(OLDEST_OPSET, OLDEST_OPSET + 3):
        opset.check_opset(version)
    # The project's own needs no runtime that opens it.
    opset.check_opset(OPSET)
    for version in (OLDEST_OPSET - 1, OLDEST_OPSET + 3):
        with pytest.raises(BadInput, match=f"--opset: is {version}; expected 13 to 15"):
            opset.check_opset(version)


def test_the_runtime_is_asked_with_a_whole_graph_of_the_opset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(stored: bytes) -> None:
        model = onnx.load_from_string(stored)
        onnx.checker.check_model(model, full_check=True)
        found.append((model.opset_import[0].version, model.ir_version))
        assert [node.op_type for node in model.graph.node] == ["Relu"]

    found: list[tuple[int, int]] = []
    monkeypatch.setattr(opset, "open_session", opened)
    assert opset._opens(18)
    assert opset._opens(21)
    assert found == [(18, 8), (21, 10)]

    def refused(stored: bytes) -> None:
        raise RuntimeError("too new")

    monkeypatch.setattr(opset, "open_session", refused)
    assert not opset._opens(18)


def test_a_second_set_of_operators_is_dropped() -> None:
    model = every_operator()
    model.opset_imports["elsewhere"] = 1
    opset.set_opset(model, 18)
    assert model.opset_imports == {"": 18}


def test_taps_are_the_layers_and_the_mean_of_their_map() -> None:
    model = parsed(
        _CONV,
        f"{_C1} r = Relu(c) p = MaxPool<kernel_shape=[2,2]>(r) q = Flatten(p) g = Flatten(q) "
        "m = GlobalAveragePool(r) y = Flatten(m)",
    )
    found = [each.name for each in naming.taps(model)]
    assert found == ["c", "r", "p", "y"]
    first = model.graph[0].outputs[0]
    first.name = f"c{naming.PREACTIVATION}"
    assert [each.name for each in naming.taps(model)] == found[1:]

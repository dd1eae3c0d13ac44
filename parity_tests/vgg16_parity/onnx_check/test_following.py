"""A graph is followed from its images to its logits; what cannot be is told by its node."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from vgg16_parity.onnx_check.walk import TracedGraph, follow
from vgg16_spec.architecture import Configuration
from vgg16_spec.images.preprocessing import RECIPES

NETWORK: Final = Configuration("small", ("3-4", "3-5"), hidden_units=6, input_size=4, classes=7)
FLOAT: Final = TensorProto.FLOAT
KERNEL: Final = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3)
MATRIX: Final = np.arange(4 * 4 * 4 * 7, dtype=np.float32).reshape(64, 7)


def nodes(*made: tuple[Any, ...]) -> list[onnx.NodeProto]:
    """Nodes: operator, inputs, outputs, of which the first names it, and attributes."""
    return [
        helper.make_node(operator, list(inputs), output.split(), output.split()[0], **attributes)
        for operator, inputs, output, attributes in (
            (*each, {}) if len(each) == 3 else each for each in made
        )
    ]


CONV: Final = ("Conv", ("images", "kernel"), "conv", {"pads": [1, 1, 1, 1]})
FLAT: Final = ("Reshape", ("conv", "shape"), "flat")
DENSE: Final = ("MatMul", ("flat", "matrix"), "logits")
LAYERS: Final = (CONV, FLAT, DENSE)
SHAPES: Final[dict[str, Any]] = {"logits": ["N", 7], "images": ["N", 3, 4, 4]}


def traced(
    *made: tuple[Any, ...],
    inputs: tuple[str, ...] = ("images",),
    outputs: tuple[str, ...] = ("logits",),
    shapes: dict[str, Any] | None = None,
    **constants: Any,
) -> TracedGraph:
    known = SHAPES | (shapes or {})
    stored = {"kernel": KERNEL, "matrix": MATRIX, "shape": np.array([-1, 64])} | constants

    def infos(names: tuple[str, ...]) -> list[Any]:
        return [helper.make_tensor_value_info(name, FLOAT, known.get(name)) for name in names]

    graph = helper.make_graph(
        nodes(*(made or LAYERS)),
        "graph",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(np.asarray(values), name) for name, values in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return follow(ir.from_proto(model), NETWORK, RECIPES["torchvision"])


def kinds(found: TracedGraph) -> list[str]:
    return [step.kind for step in found.steps]


def test_layers_are_followed_with_their_weights() -> None:
    found = traced()
    assert (found.problem, found.output, found.extra_inputs, found.notes) == ("", "logits", (), ())
    assert kinds(found) == ["convolution", "dense layer"]
    assert (found.front.layout, found.front.kind, found.kind) == ("nchw", "float32", "logits")
    convolution, dense = found.steps
    assert convolution.weight is not None
    assert convolution.weight.name == "kernel"
    assert np.array_equal(convolution.weight.array, KERNEL)
    assert dense.weight is not None
    assert np.array_equal(dense.weight.array, MATRIX.T)
    assert dense.order == "CHW"
    # Absent biases are zeros without a name.
    assert convolution.bias is not None
    assert dense.bias is not None
    assert (convolution.bias.name, convolution.bias.array.tolist()) == ("", [0] * 4)
    assert (dense.bias.name, dense.bias.array.tolist()) == ("", [0] * 7)


NHWC: Final = (
    ("Transpose", ("images",), "moved", {"perm": [0, 3, 1, 2]}),
    ("Conv", ("moved", "kernel"), "conv", {"pads": [1, 1, 1, 1]}),
    FLAT,
    DENSE,
)


@pytest.mark.parametrize("sizes", [["N", 4, 4, 3], ["N", "H", "W", "C"], None, [-1] * 4])
def test_the_layout_is_the_one_that_can_be_followed(sizes: Any) -> None:
    found = traced(*NHWC, shapes={"images": sizes})
    assert (found.problem, found.front.layout) == ("", "nhwc")
    if sizes != ["N", 4, 4, 3]:
        found = traced(shapes={"images": sizes})
        assert (found.problem, found.front.layout) == ("", "nchw")


def test_a_shape_for_one_layout_is_followed_in_no_other() -> None:
    found = traced(*NHWC, shapes={"images": ["N", 3, 4, 4]})
    assert found.front.layout == "nchw"
    assert found.problem


@pytest.mark.parametrize("batch", ["N", 1, 2, 3])
def test_a_fixed_batch_in_a_reshape_is_that_of_the_images(batch: Any) -> None:
    shapes = {"images": [batch, 3, 4, 4], "logits": [batch, 7]}
    for shape in ([batch, 64], [1, batch, 64]):
        if batch == "N":
            assert traced(shapes=shapes, shape=[-1, 64]).problem == ""
            # A file of any batch that makes one of it is wrong.
            assert traced(shapes=shapes, shape=[1, 64]).problem
            continue
        made: tuple[tuple[Any, ...], ...] = LAYERS
        if len(shape) == 3:
            made = (
                CONV,
                ("Reshape", ("conv", "shape"), "one"),
                ("Squeeze", ("one", "zero"), "flat"),
                DENSE,
            )
        assert traced(*made, shapes=shapes, shape=shape, zero=[0]).problem == "", (batch, shape)
    if batch in (2, 3):
        assert traced(shapes=shapes, shape=[batch + 1, 64]).problem


def test_inputs_beside_the_images_are_named_but_not_weights() -> None:
    found = traced(inputs=("kernel", "images", "more", "matrix"))
    assert (found.problem, found.extra_inputs) == ("", ("more",))
    assert str(found.front.images.name) == "images"
    only = traced(inputs=("kernel", "matrix"))
    assert only.extra_inputs == ()
    assert str(only.front.images.name) == "kernel"


def test_the_output_is_the_last_with_a_value_for_each_class() -> None:
    more = (*LAYERS, ("Relu", ("logits",), "rectified"), ("ReduceMax", ("conv",), "top"))
    shapes = {"rectified": ["N", 7], "top": [1], "conv": ["N", 4, 4, 4]}
    for outputs, output in (
        (("logits", "rectified"), "rectified"),
        (("rectified", "logits"), "logits"),
        (("logits", "conv"), "logits"),
        (("conv", "logits"), "logits"),
        (("flat", "conv"), "conv"),
        (("conv", "flat"), "flat"),
        (("logits", "top"), "logits"),
    ):
        assert traced(*more, outputs=outputs, shapes=shapes).output == output, outputs


def test_an_output_without_images_or_with_their_axis_moved_is_told() -> None:
    lonely = (*LAYERS, ("Add", ("one", "one"), "two"))
    found = traced(*lonely, outputs=("two",), one=np.float32(1))
    assert found.problem == "the output two does not depend on the images"
    turned = (*LAYERS, ("Transpose", ("logits",), "turned", {"perm": [1, 0]}))
    found = traced(*turned, outputs=("turned",), shapes={"turned": [7, "N"]})
    assert found.problem == "the output turned has another axis than the images' first"
    assert kinds(found) == ["convolution", "dense layer"]


SOFTMAX: Final = ("Softmax", ("logits",), "odds")


def test_a_softmax_at_the_end_makes_probabilities() -> None:
    shapes = {"odds": ["N", 7], "same": ["N", 7]}
    found = traced(*LAYERS, SOFTMAX, outputs=("odds",), shapes=shapes)
    assert (found.problem, found.kind, kinds(found)[-1]) == ("", "probabilities", "softmax")
    # Even behind what was not followed, and before moves and casts.
    cut = (CONV, ("ConvInteger", ("conv", "kernel"), "odd"), ("Softmax", ("odd",), "odds"))
    moved = (*cut, ("Identity", ("odds",), "moved"), ("Cast", ("moved",), "same", {"to": FLOAT}))
    for made, output in ((cut, "odds"), (moved, "same")):
        found = traced(*made, outputs=(output,), shapes=shapes)
        assert found.problem
        assert (found.ends_in_softmax, found.kind) == (True, "probabilities")
    behind = (*cut, ("Relu", ("odds",), "same"))
    found = traced(*behind, outputs=("same",), shapes=shapes)
    assert (found.ends_in_softmax, found.kind) == (False, "logits")


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (
            (
                CONV,
                ("Add", ("conv", "conv"), "twice"),
                ("Reshape", ("twice", "shape"), "flat"),
                DENSE,
            ),
            "Add twice: joins two paths, where the network has one",
        ),
        (
            (("Conv", ("images", "nothing"), "conv"), FLAT, DENSE),
            "nothing: a value that nothing in the graph gives",
        ),
        (
            (("Conv", ("images", "text"), "conv"), FLAT, DENSE),
            "text: text",
        ),
        (
            (CONV, ("Reshape", ("conv", "many"), "flat"), DENSE),
            "Reshape flat: has more than 16 sizes or indices",
        ),
        (
            (("Gather", ("images", "repeats"), "six", {"axis": 1}), CONV, FLAT, DENSE),
            "",
        ),
        (
            (
                CONV,
                ("Gather", ("conv", "repeats"), "six", {"axis": 1}),
                ("Reshape", ("six", "shape"), "flat"),
                DENSE,
            ),
            "Gather six: picks values more than once",
        ),
        (
            (CONV, ("Gather", ("matrix", "conv"), "flat", {"axis": 1}), DENSE),
            "Gather flat: reads sizes or indices that depend on the images",
        ),
        (
            (("Conv", ("images", "kernel"), "conv", {"pads": [1, 1, 1]}), FLAT, DENSE),
            "Conv conv: has attributes or inputs that do not fit (",
        ),
        (
            (
                ("Transpose", ("images",), "moved", {"perm": [0, 2, 1, 3]}),
                ("Conv", ("moved", "kernel"), "conv"),
                FLAT,
                DENSE,
            ),
            "Conv conv: reads the images in another order than (N, C, H, W)",
        ),
    ],
)
def test_what_cannot_be_followed_is_told_by_its_node(
    made: tuple[tuple[Any, ...], ...], problem: str
) -> None:
    found = traced(
        *made,
        many=np.array([-1, 64] + [1] * 15),
        repeats=np.array([0, 1, 2, 0, 1]),
        text=np.array(["a"], object),
    )
    assert found.problem.startswith(problem)
    assert bool(found.problem) == bool(problem)
    # The steps before it are known.
    layers = kinds(found)
    assert layers == ["convolution", "dense layer"][: len(layers)]
    assert (len(layers) > 0) == (made[0] == CONV or not problem)


def test_of_a_nodes_other_outputs_nothing_is_known() -> None:
    pool = ("MaxPool", ("conv",), "best where", {"kernel_shape": [1, 1]})
    reads = ("Reshape", ("where", "shape"), "flat")
    found = traced(CONV, pool, reads, DENSE)
    assert found.problem == "where: a value that nothing in the graph gives"
    assert traced(CONV, pool, ("Reshape", ("best", "shape"), "flat"), DENSE).problem == ""
    # Of a node that is not followed, they are not followed either.
    rounds = ("DynamicQuantizeLinear", ("conv",), "best where zero")
    found = traced(CONV, rounds, reads, DENSE)
    assert found.problem.startswith("DynamicQuantizeLinear best: computes with quantised weights")
    assert kinds(found) == ["convolution"]


def test_sixteen_sizes_are_followed() -> None:
    assert traced(shape=np.array([-1, 64] + [1] * 14)).problem != ""  # too many axes for a matrix
    assert "sizes or indices" not in traced(shape=np.array([-1, 64] + [1] * 14)).problem


def test_the_shape_of_the_images_is_a_constant() -> None:
    made = (
        CONV,
        ("Shape", ("conv",), "sizes"),
        ("Gather", ("sizes", "zero"), "count"),
        ("Concat", ("count", "all"), "shape2", {"axis": 0}),
        ("Reshape", ("conv", "shape2"), "flat"),
        DENSE,
    )
    assert traced(*made, zero=np.array([0]), all=np.array([64])).problem == ""

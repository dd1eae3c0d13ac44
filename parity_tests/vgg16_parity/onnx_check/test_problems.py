"""Each difference between a graph's steps and the network's is one line that names its node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest

from vgg16_parity.onnx_check.graph import problems
from vgg16_parity.onnx_check.preprocessing import Front
from vgg16_parity.onnx_check.symbolic import Constant, Step
from vgg16_parity.onnx_check.walk import TracedGraph
from vgg16_spec.architecture import Configuration
from vgg16_spec.images.preprocessing import RECIPES, Layout

NETWORK: Final = Configuration("small", ("3-4", "1-5"), hidden_units=6, input_size=8, classes=7)


def weighted(kind: str, name: str, *shape: int, **sizes: Any) -> Step:
    return Step(kind, name, Constant(np.zeros(shape), name), sizes=sizes)


def window(kernel: int, stride: int, pad: int) -> dict[str, tuple[int, ...]]:
    twice = {"kernel": (kernel,) * 2, "strides": (stride,) * 2, "dilations": (1, 1)}
    return twice | {"pads": (pad,) * 4}


POOL: Final = window(2, 2, 0)
RIGHT: Final = (
    weighted("convolution", "conv1", 4, 3, 3, 3, **window(3, 1, 1), group=(1,)),
    Step("ReLU", "relu1"),
    Step("max pooling", "pool1", sizes=POOL),
    weighted("convolution", "conv2", 5, 4, 1, 1, **window(1, 1, 0), group=(1,)),
    Step("ReLU", "relu2"),
    Step("max pooling", "pool2", sizes=POOL),
    weighted("dense layer", "dense1", 6, 20),
    Step("ReLU", "relu3"),
    weighted("dense layer", "dense2", 6, 6),
    Step("ReLU", "relu4"),
    weighted("dense layer", "dense3", 7, 6),
)
SOFTMAX: Final = Step("softmax", "softmax")


def found(
    *steps: Step,
    sizes: tuple[int | str, ...] | None = ("N", 3, 8, 8),
    dtype: ir.DataType | None = ir.DataType.FLOAT,
    layout: Layout = "nchw",
    **options: Any,
) -> TracedGraph:
    shape = None if sizes is None else ir.Shape(sizes)
    value = ir.Value(name="images", shape=shape, type=ir.TensorType(dtype) if dtype else None)
    front = Front(value, layout, RECIPES["caffe"])
    front.problem = options.pop("preprocessing", "")
    facts: dict[str, Any] = {"problem": "", "extra_inputs": (), **options}
    return TracedGraph(front, "logits", steps or RIGHT, **facts)


def said(graph: TracedGraph) -> list[str]:
    return list(problems(graph, NETWORK))


@pytest.mark.parametrize("steps", [RIGHT, (*RIGHT, SOFTMAX)])
@pytest.mark.parametrize(
    ("sizes", "layout"),
    [
        (("N", 3, 8, 8), "nchw"),
        ((5, 3, "H", -1), "nchw"),
        (("N", 8, 8, 3), "nhwc"),
        ((), "nchw"),
        (None, "nchw"),
    ],
)
@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT, ir.DataType.UINT8, None])
def test_the_network_has_no_problem(
    steps: tuple[Step, ...], sizes: Any, layout: Layout, dtype: ir.DataType | None
) -> None:
    assert said(found(*steps, sizes=sizes, layout=layout, dtype=dtype)) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"extra_inputs": ("a", "b")},
            [f"input {name}: a second input, where the" for name in "ab"],
        ),
        ({"sizes": ("N", 3, 9, 8)}, ["the images are (any, 3, 9, 8), expected (any, 3, 8, 8)"]),
        ({"sizes": (2, 8, 8, 3)}, ["the images are (2, 8, 8, 3), expected (any, 3, 8, 8)"]),
        (
            {"sizes": ("N", 8, 9, 3), "layout": "nhwc"},
            ["the images are (any, 8, 9, 3), expected (any, 8, 8, 3)"],
        ),
        ({"sizes": (3, 8, 8)}, ["the images are (3, 8, 8), expected (any, 3, 8, 8)"]),
        ({"dtype": ir.DataType.FLOAT16}, ["the images are FLOAT16, expected FLOAT or UINT8"]),
        ({"preprocessing": "odd"}, ["preprocessing: odd"]),
        ({"problem": "Sin mine: no"}, ["Sin mine: no"]),
        (
            {"notes": (("a", "rounds"), ("b", "trains"), ("c", "rounds"), ("d", "rounds"))},
            ["a and 2 more: rounds", "b: trains"],
        ),
    ],
)
def test_what_is_beside_the_steps_is_told(options: dict[str, Any], expected: list[str]) -> None:
    lines = said(found(**options))
    assert len(lines) == len(expected)
    assert all(line.startswith(text) for line, text in zip(lines, expected, strict=True))


def changed(index: int, **changes: Any) -> tuple[Step, ...]:
    step = RIGHT[index]
    sizes = changes.pop("sizes", {})
    return (
        *RIGHT[:index],
        replace(step, sizes=step.sizes | sizes, **changes),
        *RIGHT[index + 1 :],
    )


@pytest.mark.parametrize(
    ("index", "sizes", "line"),
    [
        (0, {"kernel": (3, 5)}, "conv1: kernel 3×5, expected 3×3 (block1_conv1)"),
        (0, {"strides": (2, 1)}, "conv1: strides 2×1, expected 1×1 (block1_conv1)"),
        (0, {"dilations": (1, 2)}, "conv1: dilations 1×2, expected 1×1 (block1_conv1)"),
        (0, {"pads": (1, 1, 0, 1)}, "conv1: pads 1, 1, 0, 1, expected 1, 1, 1, 1 (block1_conv1)"),
        (0, {"group": (2,)}, "conv1: group 2, expected 1 (block1_conv1)"),
        (2, {"kernel": (3, 3)}, "pool1: kernel 3×3, expected 2×2 (block1_pool)"),
        (2, {"strides": (1, 1)}, "pool1: strides 1×1, expected 2×2 (block1_pool)"),
        (2, {"dilations": (2, 2)}, "pool1: dilations 2×2, expected 1×1 (block1_pool)"),
        (2, {"pads": (0, 0, 1, 1)}, "pool1: pads 0, 0, 1, 1, expected 0, 0, 0, 0 (block1_pool)"),
        (3, {"pads": (1,) * 4}, "conv2: pads 1, 1, 1, 1, expected 0, 0, 0, 0 (block2_conv1)"),
        (3, {"kernel": (3, 3)}, "conv2: kernel 3×3, expected 1×1 (block2_conv1)"),
    ],
)
def test_a_size_that_differs_is_told(index: int, sizes: dict[str, Any], line: str) -> None:
    assert said(found(*changed(index, sizes=sizes))) == [line]


@pytest.mark.parametrize(
    ("index", "shape", "lines"),
    [
        (0, (9, 3, 3, 3), ["conv1: outputs 9, expected 4 (block1_conv1)"]),
        (3, (5, 9, 1, 1), ["conv2: inputs 9, expected 4 (block2_conv1)"]),
        (
            6,
            (9, 8),
            ["dense1: outputs 9, expected 6 (fc1)", "dense1: inputs 8, expected 20 (fc1)"],
        ),
        (10, (8, 6), ["dense3: outputs 8, expected 7 (predictions)"]),
    ],
)
def test_weights_of_another_shape_are_told(
    index: int, shape: tuple[int, ...], lines: list[str]
) -> None:
    weight = Constant(np.zeros(shape), "weight")
    assert said(found(*changed(index, weight=weight))) == lines


RELU, AVERAGE, ODD = Step("ReLU", "more"), Step("average pooling", "mean"), Step("Sin", "Sin odd")
NONE_LIKE: Final = "an operation that the network has none like, where"
Edit = Callable[[tuple[Step, ...]], tuple[Step, ...]]


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        (
            lambda steps: (steps[0], *steps[2:]),
            ["pool1: max pooling where block1_conv1's ReLU was expected"],
        ),
        (
            lambda steps: (*steps[:2], AVERAGE, *steps[3:]),
            ["mean: average pooling where block1_pool's max pooling was expected"],
        ),
        (
            lambda steps: (*steps[:2], RELU, *steps[2:]),
            ["more: a ReLU where block1_pool's max pooling was expected"],
        ),
        (
            lambda steps: (*steps, RELU),
            ["more: a ReLU where the end of the graph was expected"],
        ),
        (
            lambda steps: (*steps, SOFTMAX, SOFTMAX),
            ["softmax: a softmax where the end of the graph was expected"],
        ),
        (
            lambda steps: (*steps, SOFTMAX, ODD),
            [f"Sin odd: {NONE_LIKE} the end of the graph was expected"],
        ),
        (
            lambda steps: (*steps[:3], ODD, *steps[3:]),
            [f"Sin odd: {NONE_LIKE} block2_conv1's convolution was expected"],
        ),
        (
            lambda steps: (steps[0], ODD, replace(ODD, node="Sin again"), *steps[1:]),
            [
                f"Sin odd: {NONE_LIKE} block1_conv1's ReLU was expected",
                "Sin again: not an operation of the network",
            ],
        ),
        (
            lambda steps: steps[:9],
            ["the graph ends after dense2, where fc2's ReLU was expected"],
        ),
        (
            lambda steps: steps[:10],
            ["the graph ends after relu4, where predictions's dense layer was expected"],
        ),
        (
            lambda steps: (*steps[1:],),
            ["relu1: a ReLU where block1_conv1's convolution was expected"],
        ),
        (
            lambda steps: (*steps[:6], SOFTMAX, *steps[6:]),
            ["softmax: a softmax where fc1's dense layer was expected"],
        ),
    ],
)
def test_only_the_first_step_that_differs_is_told_and_every_foreign_operation(
    edit: Edit, lines: list[str]
) -> None:
    assert said(found(*edit(RIGHT))) == lines


def test_a_graph_that_could_not_be_followed_to_its_end_does_not_end_early() -> None:
    assert said(found(*RIGHT[:4], problem="Sin odd: no")) == ["Sin odd: no"]
    graph = replace(found(), steps=())
    (line,) = said(graph)
    assert line == "the graph ends after its input, where block1_conv1's convolution was expected"

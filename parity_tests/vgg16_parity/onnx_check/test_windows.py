"""What convolutions and poolings make of the images, or why they are not followed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest

from parity_tests.support.graphs.nodes import images, made, node, same
from vgg16_parity.onnx_check.symbolic import (
    Step,
    SymbolicTensor,
    Untraceable,
    arrange,
)
from vgg16_spec.architecture import Shape

MAPS: Final = (2, 3, 8, 9)


X: Final = images(*MAPS)


WEIGHT: Final = np.arange(4 * 3 * 3 * 2, dtype=np.float32).reshape(4, 3, 3, 2)


BIAS: Final = np.arange(4, dtype=np.float32)


NHWC: Final = SymbolicTensor(arrange(MAPS).transpose(0, 2, 3, 1), MAPS)


def sizes(kernel: Any, strides: Any, dilations: Any, pads: Any) -> dict[str, Any]:
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}


@pytest.mark.parametrize(
    ("attributes", "window", "maps"),
    [
        ({}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0)), (6, 8)),
        ({"kernel_shape": [3, 2]}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0)), (6, 8)),
        ({"strides": [2, 3]}, ((3, 2), (2, 3), (1, 1), (0, 0, 0, 0)), (3, 3)),
        ({"dilations": [2, 3]}, ((3, 2), (1, 1), (2, 3), (0, 0, 0, 0)), (4, 6)),
        ({"pads": [1, 2, 3, 4]}, ((3, 2), (1, 1), (1, 1), (1, 2, 3, 4)), (10, 14)),
        ({"auto_pad": "NOTSET"}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0)), (6, 8)),
        ({"auto_pad": "VALID"}, ((3, 2), (1, 1), (1, 1), (0, 0, 0, 0)), (6, 8)),
        ({"auto_pad": "SAME_UPPER"}, ((3, 2), (1, 1), (1, 1), (1, 0, 1, 1)), (8, 9)),
        ({"auto_pad": "SAME_LOWER"}, ((3, 2), (1, 1), (1, 1), (1, 1, 1, 0)), (8, 9)),
        (
            {"auto_pad": "SAME_UPPER", "strides": [3, 4]},
            ((3, 2), (3, 4), (1, 1), (0, 0, 1, 1)),
            (3, 3),
        ),
        (
            {"auto_pad": "SAME_LOWER", "dilations": [2, 4], "pads": [0] * 4},
            ((3, 2), (1, 1), (2, 4), (2, 2, 2, 2)),
            (8, 9),
        ),
        # A stride beyond the maps leaves nothing to pad.
        ({"auto_pad": "SAME_UPPER", "strides": [9, 9]}, ((3, 2), (9, 9), (1, 1), (0,) * 4), (1, 1)),
        # The largest window that there is room for.
        ({"dilations": [3, 8]}, ((3, 2), (1, 1), (3, 8), (0, 0, 0, 0)), (2, 1)),
    ],
)
def test_a_convolution_has_its_window_and_makes_its_maps(
    attributes: dict[str, Any], window: tuple[Any, ...], maps: Shape
) -> None:
    found = made(node("Conv", X, WEIGHT, BIAS, **attributes))
    (step,) = found.steps
    assert (step.kind, step.node, step.order) == ("convolution", "Conv mine", "")
    assert step.sizes == sizes(*window) | {"group": (1,)}
    assert same(step.weight, WEIGHT, "c1")
    assert same(step.bias, BIAS, "c2")
    assert (found.maps, found.axes) == ((2, 4, *maps), ("N", "C", "H", "W"))


def test_a_convolution_has_its_group_and_may_lack_a_bias() -> None:
    (step,) = made(node("Conv", X, WEIGHT[:, :1], group=3)).steps
    assert step.sizes["group"] == (3,)
    assert step.bias is None


def test_zeros_of_a_node_before_it_are_a_convolutions_own() -> None:
    padded = made(node("Pad", X, [0, 0, 1, 2, 0, 0, 3, 4]))
    found = made(node("Conv", padded, WEIGHT, pads=[5, 6, 7, 8]))
    (step,) = found.steps
    assert step.sizes["pads"] == (6, 8, 10, 12)
    assert found.maps == (2, 4, 8 + 4 + 12 - 2, 9 + 6 + 14 - 1)


def test_a_convolution_of_all_of_the_maps_is_a_dense_layer() -> None:
    whole = np.arange(5 * 3 * 8 * 9, dtype=np.float32).reshape(5, 3, 8, 9)
    found = made(node("Conv", X, whole, BIAS))
    (step,) = found.steps
    assert (step.kind, step.order, step.sizes) == ("dense layer", "CHW", {})
    assert same(step.weight, whole.reshape(5, -1), "c1")
    assert same(step.bias, BIAS, "c2")
    assert found.maps == (2, 5, 1, 1)
    for pads in ([1, 0, 0, 0], [0, 0, 0, 1]):
        assert made(node("Conv", X, whole, pads=pads)).steps[0].kind == "convolution"
    assert made(node("Conv", X, whole[..., 1:])).steps[0].kind == "convolution"


def test_a_convolution_along_other_axes_is_not_followed() -> None:
    swapped, turned = (
        SymbolicTensor(arrange(MAPS).transpose(order), MAPS)
        for order in ((1, 0, 2, 3), (0, 1, 3, 2))
    )
    for at, problem in (
        (node("Conv", swapped, WEIGHT), r"works along \(C, N, H, W\)"),
        (node("Conv", turned, WEIGHT), r"works along \(N, C, W, H\)"),
        (node("Conv", NHWC, WEIGHT), r"works along \(N, H, W, C\), expected \(N, C, H, W\)"),
        (node("Conv", X, WEIGHT[0]), "works along"),
        (node("Conv", X, WEIGHT, kernel_shape=[2, 3]), r"says that its kernels are \(2, 3\), they"),
        (node("com.microsoft.FusedConv", X, WEIGHT, BIAS, 1.0), "joins two paths"),
        (node("Conv", X), "lacks an input"),
        (node("Conv", X, WEIGHT, X), "has weights or sizes that are computed from the images"),
    ):
        with pytest.raises(Untraceable, match=problem):
            made(at)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"strides": [0, 1]}, r"has strides of \[0, 1\]"),
        ({"strides": [1, -1]}, r"has strides of \[1, -1\]"),
        ({"dilations": [4, 1]}, r"has windows of \[9, 2\] on maps of \[8, 9\]"),
        ({"dilations": [1, 9]}, r"has windows of \[3, 10\] on maps of \[8, 9\]"),
        ({"auto_pad": "SAME_UPPER", "pads": [0, 0, 0, 1]}, "has pads of .* beside SAME_UPPER"),
    ],
)
def test_a_window_that_does_not_fit_is_not_followed(
    attributes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Untraceable, match=problem):
        made(node("Conv", X, WEIGHT, **attributes))


@pytest.mark.parametrize(
    ("operator", "kind"), [("MaxPool", "max pooling"), ("AveragePool", "average pooling")]
)
def test_pooling_has_its_window_and_keeps_its_axes(operator: str, kind: str) -> None:
    at = node(operator, X, kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1])
    found = made(at)
    window = sizes((2, 3), (2, 1), (1, 1), (0, 1, 0, 1))
    assert found.steps == (Step(kind, f"{operator} mine", sizes=window),)
    assert (found.maps, found.axes) == ((2, 3, 4, 9), ("N", "C", "H", "W"))
    turned = SymbolicTensor(arrange(MAPS).transpose(0, 1, 3, 2), MAPS)
    found = made(node(operator, turned, kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1]))
    assert found.steps[0].sizes == sizes((3, 2), (1, 2), (1, 1), (1, 0, 1, 0))
    assert (found.maps, found.axes) == ((2, 3, 8, 4), ("N", "C", "W", "H"))


def test_pooling_everything_has_the_maps_size() -> None:
    found = made(node("GlobalAveragePool", X))
    assert found.steps[0].kind == "average pooling"
    assert found.steps[0].sizes["kernel"] == (8, 9)
    assert found.maps == (2, 3, 1, 1)


def test_windows_of_one_value_are_nothing() -> None:
    assert made(node("AveragePool", X, kernel_shape=[1, 1])) is X
    assert made(node("AveragePool", X, kernel_shape=[1, 1], strides=[1, 2])).steps
    assert made(node("AveragePool", X, kernel_shape=[1, 1], pads=[0, 0, 0, 1])).steps
    assert made(node("MaxPool", X, kernel_shape=[1, 2])).steps


def test_pooling_over_channels_or_images_is_not_followed() -> None:
    deep = SymbolicTensor(arrange(MAPS).transpose(0, 2, 3, 1)[:, np.newaxis], MAPS)
    window: dict[str, Any] = {"kernel_shape": [2, 2, 1], "strides": [2, 2, 1]}
    found = made(node("MaxPool", deep, **window))
    assert found.steps[0].sizes == sizes((2, 2), (2, 2), (1, 1), (0, 0, 0, 0))
    assert (found.maps, found.axes) == ((2, 3, 4, 4), ("N", "", "H", "W", "C"))
    for attributes in (
        {"kernel_shape": [2, 2, 2]},
        window | {"strides": [2, 2, 2]},
        window | {"pads": [0, 0, 1, 0, 0, 0]},
        window | {"pads": [0, 0, 0, 0, 0, 1]},
    ):
        with pytest.raises(Untraceable, match=r"takes in several of the axis \(C\)"):
            made(node("MaxPool", deep, **attributes))
    for x, kernel in ((NHWC, [2, 2]), (X, [2, 2, 2]), (X, [2])):
        with pytest.raises(Untraceable, match="works along"):
            made(node("MaxPool", x, kernel_shape=kernel))

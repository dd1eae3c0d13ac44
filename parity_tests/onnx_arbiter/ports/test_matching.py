"""Layers are matched by name or by order; arrays are brought from one layout to another."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.ports.layouts import fitted, moved
from onnx_arbiter.ports.matching import matched
from onnx_arbiter.ports.places import CONTAINER, Place, Tap, kind_of

MAPS = (2, 4, 8, 8)
LAST = (2, 8, 8, 4)


def place(name: str, kind: str, shape: tuple[int, ...] = MAPS, before: str | None = None) -> Place:
    return Place(name, kind, f"value of {name}", shape, before=before)


def tap(
    name: str, kind: str, shape: tuple[int, ...] = LAST, before: str | None = "", last: bool = True
) -> Tap:
    return Tap(name, kind, np.zeros(shape, np.float32), last, before=before)


def names(places: list[Place], taps: list[Tap]) -> list[tuple[str, str]]:
    return [(one.name, other.name) for one, other in matched(places, taps).pairs]


def test_names_are_the_same_with_dots_and_underscores() -> None:
    places = [place("layer1.0.conv", "conv"), place("layer1.0.act", "relu")]
    found = matched(places, [tap("Layer1_0_act", "relu"), tap("layer1_0_conv", "conv")])
    assert found.by_name
    assert [(p.name, t.name) for p, t in found.pairs] == [
        ("layer1.0.conv", "layer1_0_conv"),
        ("layer1.0.act", "Layer1_0_act"),
    ]


def test_a_layer_of_the_same_name_and_another_kind_is_the_same_layer() -> None:
    assert names([place("act", "relu")], [tap("act", "identity", before=None)]) == [("act", "act")]


def test_order_skips_what_one_of_the_two_lacks() -> None:
    places = [
        place("a", "conv"), place("b", "batch norm"), place("c", "relu"), place("d", CONTAINER),
        place("e", "conv"), place("f", "max pool", (2, 4, 4, 4)), place("g", "dense", (2, 5)),
    ]  # fmt: skip
    taps = [
        tap("1", "zeropadding"), tap("2", "conv"), tap("3", "relu"), tap("4", "conv"),
        tap("5", "max pool", (2, 4, 4, 4)), tap("6", "dense", (2, 5)),
    ]  # fmt: skip
    found = matched(places, taps)
    assert not found.by_name
    assert found.how == "5 of 7 layers matched by order, kind and shape"
    assert [p.name + t.name for p, t in found.pairs] == ["a2", "c3", "e4", "f5", "g6"]


def test_layers_of_other_shapes_are_not_matched() -> None:
    assert names([place("a", "conv")], [tap("1", "conv", (2, 8, 8, 5))]) == []


def test_an_activation_in_a_layer_is_that_of_its_layer_not_the_first_of_its_kind() -> None:
    places = [place("a", "conv"), place("b", "conv"), place("c", "relu")]
    taps = [tap("1", "conv"), tap("2", "relu"), tap("3", "relu", before="conv")]
    assert names(places, taps) == [("a", "1"), ("c", "3")]


def test_a_layer_with_its_activation_is_not_the_layer_of_its_name_without() -> None:
    fused, plain = tap("conv", "relu", before="conv"), tap("conv", "conv", before=None)
    assert names([place("conv", "conv"), place("fc", "dense")], [fused, tap("fc", "dense")]) == [
        ("fc", "fc")
    ]
    assert names([place("conv", "relu", before="conv")], [plain]) == []
    # In one framework, the activation was forgotten.
    forgotten = tap("conv", "conv")
    assert names([place("conv", "relu", before="conv")], [forgotten]) == [("conv", "conv")]


def test_a_flattening_of_another_layout_is_not_compared() -> None:
    ours = [place("a", "flatten", (2, 64))]
    assert names(ours, [tap("a", "flatten", (2, 64), last=True)]) == []
    assert names(ours, [tap("a", "flatten", (2, 64), last=False)]) == [("a", "a")]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Conv2d", "Conv2D"), ("Linear", "Dense"), ("BatchNorm1d", "BatchNormalization"),
        ("MaxPool2d", "MaxPooling2D"), ("AdaptiveAvgPool2d", "GlobalAveragePooling2D"),
        ("AvgPool2d", "AveragePooling2D"), ("LayerNorm", "LayerNormalization"), ("SiLU", "swish"),
        ("ConvTranspose2d", "Conv2DTranspose"), ("Hardswish", "hard_silu"), ("ReLU6", "relu"),
        ("Flatten", "Flatten"), ("GELU", "gelu"), ("Softmax", "softmax"), ("ELU", "elu"),
    ],
)  # fmt: skip
def test_kinds_are_the_same_in_both_frameworks(ours: str, theirs: str) -> None:
    assert kind_of(ours) == kind_of(theirs)


def test_kinds_differ_where_layers_do() -> None:
    kinds = [kind_of(name) for name in ("Conv2d", "Linear", "ReLU", "MaxPool2d", "AvgPool2d")]
    assert len(set(kinds)) == len(kinds)


def test_layouts_are_those_of_the_frameworks_where_shapes_leave_both_possible() -> None:
    maps = np.arange(4**4).reshape(4, 4, 4, 4)
    for from_last, to_last in ((True, False), (False, True)):
        found = fitted(maps, maps.shape, from_last, to_last)
        expected = moved(maps, from_last=from_last, to_last=to_last)
        np.testing.assert_array_equal(found, expected)
        assert not np.array_equal(expected, maps)
    np.testing.assert_array_equal(fitted(maps, maps.shape, None, False), maps)
    np.testing.assert_array_equal(fitted(maps, maps.shape, True, True), maps)
    sequences = np.arange(2 * 16).reshape(2, 4, 4)
    np.testing.assert_array_equal(fitted(sequences, (2, 4, 4), True, False), sequences)


def test_shapes_that_leave_one_possible_decide() -> None:
    maps = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(fitted(maps, (2, 3, 4, 5), True, False), maps)
    np.testing.assert_array_equal(
        fitted(maps, (2, 5, 3, 4), None, False), maps.transpose(0, 3, 1, 2)
    )
    sequence = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(
        fitted(sequence, (2, 4, 3), True, False), sequence.transpose(0, 2, 1)
    )
    assert fitted(maps, (2, 4, 3, 5), True, False) is None


def test_axes_of_size_one_come_and_go() -> None:
    averages = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(
        fitted(averages, (2, 3, 1, 1), True, False), averages.reshape(2, 3, 1, 1)
    )
    np.testing.assert_array_equal(
        fitted(averages.reshape(2, 1, 1, 3), (2, 3), True, False), averages
    )


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("average pool", "AdaptiveAvgPool1d AvgPool3d AveragePooling1D GlobalAveragePooling3D"),
        ("max pool", "AdaptiveMaxPool2d MaxPool1d MaxPooling3D GlobalMaxPooling2D"),
        ("batch norm", "BatchNorm2d BatchNormalization"),
        ("layer norm", "LayerNorm LayerNormalization"),
        ("conv", "Conv1d Conv2D DepthwiseConv2D DepthwiseConv1D"),
        ("transposed conv", "ConvTranspose1d Conv1DTranspose Conv2DTranspose Conv3DTranspose"),
        ("dense", "Linear Dense"),
        ("hardsigmoid", "Hardsigmoid hard_sigmoid"),
        ("hardswish", "Hardswish hard_silu hard_swish"),
        ("leakyrelu", "LeakyReLU leaky_relu"),
        ("relu", "ReLU ReLU6 relu6"),
        ("silu", "SiLU swish silu"),
        ("flatten", "Flatten"),
        ("zeropadding", "ZeroPadding2D ZeroPadding1D"),
    ],
)
def test_every_name_of_a_kind_of_layer_is_known(kind: str, names: str) -> None:
    assert {name: kind_of(name) for name in names.split()} == dict.fromkeys(names.split(), kind)

"""Weights that differ from the checkpoint's are reported with what happened to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest

from export.load import open_model
from mistakes.in_onnx import change_weight, node_of, set_weight
from parity_tests.support.graphs.checked import Planted, wrong_weights
from parity_tests.support.weights.changed import with_value
from vgg16_parity.onnx_check import weights
from vgg16_parity.onnx_check.text import lines
from vgg16_parity.onnx_check.walk import follow
from vgg16_spec import layouts
from vgg16_spec.checkpoint import Checkpoint

MADE = "the graph's is the checkpoint's"


def swap_classes(values: np.ndarray) -> np.ndarray:
    values[[3, 700]] = values[[700, 3]]
    return values


def off_by_a_thousandth(values: np.ndarray) -> np.ndarray:
    values[5] += np.float32(1e-3)
    return values


def turned_but_for_one(values: np.ndarray) -> np.ndarray:
    turned = values[:, :, ::-1, ::-1].copy()
    turned[0, 0, 0, 0] += np.float32(1e-3)
    return turned


def hwc(weight: np.ndarray) -> np.ndarray:
    return layouts.canonical_to_keras("fc1.weight", weight, (12, 2, 2)).T


WEIGHTS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "classes": ("predictions.weight", swap_classes, f"{MADE} with classes 3 and 700 exchanged"),
    "height and width": (
        "block3_conv2.weight",
        lambda a: a.swapaxes(2, 3),
        f"{MADE} with kernels transposed in height and width",
    ),
    "in and out": (
        "block3_conv2.weight",
        lambda a: a.swapaxes(0, 1),
        f"{MADE} with inputs and outputs swapped",
    ),
    "half a turn": (
        "block3_conv2.weight",
        lambda a: a[:, :, ::-1, ::-1],
        f"{MADE} with kernels turned by half a turn",
    ),
    "dense in and out": ("fc2.weight", lambda a: a.T, f"{MADE} with inputs and outputs swapped"),
    "HWC": ("fc1.weight", hwc, "fc1's inputs in HWC order where the graph flattens CHW"),
    "BGR": (
        "block1_conv1.weight",
        lambda a: a[:, ::-1],
        f"{MADE} with input channels reversed (BGR for RGB)",
    ),
    "bias": ("block2_conv1.bias", off_by_a_thousandth, "1 of 6 values differ, by up to 1.0e-03"),
    "float16": (
        "block4_conv1.weight",
        lambda a: a.astype(np.float16).astype(np.float32),
        f"{MADE} rounded to float16",
    ),
    "times": ("fc2.weight", lambda a: 2 * a, f"{MADE} times 2"),
    "zero": ("block2_conv1.bias", np.zeros_like, "the graph's is zero"),
    "moved but for one": (
        "block3_conv2.weight",
        turned_but_for_one,
        "with kernels turned by half a turn, 1 of 576 values differ, by up to 1.0e-03",
    ),
    "NaN": (
        "block4_conv1.bias",
        lambda a: np.full_like(a, np.nan),
        "12 of 12 values differ, by up to inf",
    ),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_differ_are_told_how(kind: str, planted: Planted) -> None:
    name, change, problem = WEIGHTS[kind]
    report = planted(change_weight(name, change))
    assert report.graph.passed
    assert wrong_weights(report) == {name: problem}
    assert not report.matches
    assert f"weights: {name} ({name}): {problem}" in list(lines(report))
    # One value of float16 precision, or two classes in each other's place, is far above rounding.
    assert not report.numbers.passed


# A value of the checkpoint, the file's, and their difference as it is told.
APART: Final = {
    "0 and -0": (0.0, -0.0, "0.0e+00"),
    "0 and the smallest number": (0.0, 1e-45, "1.4e-45"),
    "1 and the next": (1.0, float(np.nextafter(np.float32(1), np.float32(2))), "1.2e-07"),
    "the largest number and infinity": (float(np.finfo(np.float32).max), np.inf, "inf"),
    "a number and NaN": (1.0, np.nan, "inf"),
}


@pytest.mark.parametrize("name", ["block1_conv1.weight", "fc1.weight", "fc2.bias"])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("kind", APART)
def test_one_value_of_other_bits_is_told_wherever_it_is(
    kind: str, place: int, name: str, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    ours, theirs, largest = APART[kind]

    checkpoint = with_value(tiny, name, place, ours)
    model = onnx.load(exported)
    found = {}
    for value in (ours, theirs):
        set_weight(name, with_value(tiny, name, place, value)[name])(model)
        onnx.save(model, tmp_path / "edited.onnx")
        traced = follow(open_model(tmp_path / "edited.onnx"), tiny.configuration, tiny.recipe)
        found[value == ours and np.signbit(value) == np.signbit(ours)] = {
            weight.tensor: weight.problem
            for weight in weights.compare(traced, checkpoint)
            if weight.problem
        }
    assert found[True] == {}
    assert found[False] == {name: f"1 of {tiny[name].size:,} values differ, by up to {largest}"}


def test_layers_in_each_others_place_are_told(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        first, second = (node_of(model, f"block5_conv{i}") for i in (1, 3))
        first.input[1], second.input[1] = second.input[1], first.input[1]

    assert wrong_weights(planted(edit)) == {
        "block5_conv1.weight": "has the values of block5_conv3.weight",
        "block5_conv3.weight": "has the values of block5_conv1.weight",
    }


def test_weights_of_float16_with_a_cast_are_told(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        change_weight("fc2.weight", lambda a: a.astype(np.float16))(model)
        cast = onnx.helper.make_node("Cast", ["fc2.weight"], ["wide"], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
        node_of(model, "fc2").input[1] = "wide"

    report = planted(edit)
    assert report.graph.passed
    assert wrong_weights(report) == {"fc2.weight": f"{MADE} rounded to float16"}


def test_an_absent_bias_is_zero(planted: Planted) -> None:
    def edit(model: onnx.ModelProto) -> None:
        del node_of(model, "block2_conv1").input[2]
        del node_of(model, "fc2").input[2]

    report = planted(edit)
    assert report.graph.passed
    assert wrong_weights(report) == {
        "block2_conv1.bias": "is absent, as if it were 0: 6 of 6 are not",
        "fc2.bias": "is absent, as if it were 0: 32 of 32 are not",
    }
    assert not report.numbers.passed


def test_many_tensors_with_one_problem_are_one_line(planted: Planted) -> None:
    names = [
        f"block{i}_conv{j}" for i, count in enumerate((2, 2, 3), 1) for j in range(1, count + 1)
    ]

    def edit(model: onnx.ModelProto) -> None:
        for name in names:
            change_weight(f"{name}.weight", lambda a: a + np.float32(0.5))(model)

    (line,) = [line for line in lines(planted(edit)) if "more" in line]
    assert line.startswith(
        "weights: block1_conv1.weight, block1_conv2.weight, block2_conv1.weight and 4 more: other "
        "values, by up to 5.0e-01"
    )

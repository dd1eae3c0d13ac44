"""Each tensor of a checkpoint is compared with that of its layer's step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest

from vgg16_parity.onnx_check.symbolic import Constant, Step
from vgg16_parity.onnx_check.walk import TracedGraph
from vgg16_parity.onnx_check.weights import Weight, as_maps, compare
from vgg16_spec.architecture import Configuration, Convolution
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

NETWORK: Final = Configuration(
    "small", ("3-4 3-4", "3-5"), hidden_units=6, input_size=12, classes=7
)
MAPS: Final = NETWORK.feature_shape
Steps = list[Step]


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    start, random = generate(NETWORK, 1), np.random.default_rng(1)
    biases = {
        name: random.standard_normal(start[name].shape).astype(np.float32)
        for name in start
        if name.endswith("bias")
    }
    return start.with_tensors(biases)


def steps_of(checkpoint: Checkpoint) -> Iterator[Step]:
    for layer in NETWORK.weighted_layers:
        weight, bias = (
            Constant(np.array(checkpoint[f"{layer.name}.{part}"]), f"{part} of {layer.name}")
            for part in ("weight", "bias")
        )
        kind = "convolution" if isinstance(layer, Convolution) else "dense layer"
        yield Step(kind, layer.name, weight, bias, "CHW" if layer.name == "fc1" else "")
        yield Step("ReLU", "relu")


def compared(steps: Steps, checkpoint: Checkpoint, problem: str = "") -> list[Weight]:
    found = SimpleNamespace(steps=tuple(steps), problem=problem)
    return list(compare(cast("TracedGraph", found), checkpoint))


def problems(steps: Steps, checkpoint: Checkpoint, **options: str) -> dict[str, str]:
    return {w.tensor: w.problem for w in compared(steps, checkpoint, **options) if w.problem}


def changed(checkpoint: Checkpoint, layer: str, **parts: Any) -> Steps:
    """The right steps with other arrays in a layer, or another order."""
    made = list(steps_of(checkpoint))
    place = next(place for place, step in enumerate(made) if step.node == layer)
    step = made[place]
    for part, values in parts.items():
        of = values
        if part != "order":
            constant = getattr(step, part)
            of = values if isinstance(values, Constant) else replace(constant, array=values)
        step = replace(step, **{part: of})
    made[place] = step
    return made


def test_every_tensor_is_named_with_its_name_in_the_file(small: Checkpoint) -> None:
    found = compared(list(steps_of(small)), small)
    assert [each.tensor for each in found] == list(small)
    assert [each.initializer for each in found] == [
        f"{part} of {layer.name}"
        for layer in NETWORK.weighted_layers
        for part in ("weight", "bias")
    ]
    assert not any(each.problem for each in found)
    # Steps behind the last layer are no layer's.
    more = [*steps_of(small), next(steps_of(small))]
    assert compared(more, small) == found


def test_tensors_that_are_not_there_are_told(small: Checkpoint) -> None:
    fewer = list(steps_of(small))[:-2]
    absent = {f"predictions.{part}": "is not in the graph" for part in ("weight", "bias")}
    assert problems(fewer, small) == absent
    assert problems(fewer, small, problem="odd") == dict.fromkeys(absent, "not compared")


def test_an_absent_bias_is_one_of_zeros(small: Checkpoint) -> None:
    without = changed(small, "fc2", bias=Constant(np.zeros(6, np.float32), ""))
    told = "is absent, as if it were 0: 6 of 6 are not"
    assert problems(without, small) == {"fc2.bias": told}
    bias = np.array([0, 0, 1, 0, 0, 2], np.float32)
    some = small.with_tensors({"fc2.bias": bias})
    assert problems(without, some) == {"fc2.bias": "is absent, as if it were 0: 2 of 6 are not"}
    assert problems(without, small.with_tensors({"fc2.bias": 0 * bias})) == {}


def test_another_shape_or_type_is_told(small: Checkpoint) -> None:
    weight = small["fc2.weight"]
    for array, told in (
        (weight[:5], "has the shape (5, 6) in canonical layout, expected (6, 6)"),
        (weight.astype(np.float64), "stored as float64, expected float32"),
        (weight.astype(np.int8), "stored as int8, expected float32"),
        (weight.astype(np.float16), "stored as float16"),
        (
            (weight + 1).astype(np.float16),
            "stored as float16, and other values than the checkpoint's",
        ),
    ):
        assert problems(changed(small, "fc2", weight=array), small) == {"fc2.weight": told}


def test_fc1_reads_maps_in_the_order_in_which_the_graph_flattens_them(small: Checkpoint) -> None:
    chw = small["fc1.weight"]
    hwc = chw.reshape(-1, *MAPS).transpose(0, 2, 3, 1).reshape(chw.shape)
    assert np.array_equal(as_maps(hwc, "HWC", MAPS), chw.reshape(-1, *MAPS))
    wch = chw.reshape(-1, *MAPS).transpose(0, 3, 1, 2).reshape(chw.shape)
    for array, order in ((chw, "CHW"), (hwc, "HWC"), (wch, "WCH")):
        assert problems(changed(small, "fc1", weight=array, order=order), small) == {}
    half = hwc.astype(np.float16)
    told = {"fc1.weight": "stored as float16"}
    assert problems(changed(small, "fc1", weight=half, order="HWC"), small) == told
    for array, order, other in ((hwc, "CHW", "HWC"), (chw, "HWC", "CHW"), (chw, "WCH", "CHW")):
        found = problems(changed(small, "fc1", weight=array, order=order), small)
        told = {"fc1.weight": f"fc1's inputs in {other} order where the graph flattens {order}"}
        assert found == told


def test_values_of_another_tensor_or_other_values_are_told(small: Checkpoint) -> None:
    other = {"block1_conv2.bias": "has the values of block1_conv1.bias"}
    bias = small["block1_conv1.bias"]
    assert problems(changed(small, "block1_conv2", bias=bias), small) == other
    weight = np.array(small["fc2.weight"])
    weight[1, 2] += 1
    weight[3, 4] -= 3
    told = {"fc2.weight": "2 of 36 values differ, by up to 3.0e+00"}
    assert problems(changed(small, "fc2", weight=weight), small) == told
    turned = np.array(small["block2_conv1.weight"][:, :, ::-1, ::-1])
    turned[0, 0, 0, 0] += np.float32(2**-10)
    ((name, problem),) = problems(changed(small, "block2_conv1", weight=turned), small).items()
    assert name == "block2_conv1.weight"
    assert problem.startswith("with ")
    assert problem.endswith(", 1 of 180 values differ, by up to 9.8e-04")


def test_outputs_in_another_order_are_one_mistake_of_both_tensors(small: Checkpoint) -> None:
    order = [0, 3, 2, 1, 4, 5]
    weight, bias = small["fc2.weight"][order], small["fc2.bias"][order]
    found = problems(changed(small, "fc2", weight=weight, bias=bias), small)
    assert found.keys() == {"fc2.weight", "fc2.bias"}
    assert all("1 and 3 exchanged" in problem for problem in found.values()), found

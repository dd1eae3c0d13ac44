"""A layer with another error besides its rounding is noted, and a runtime's habits are not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mistakes import in_torch
from mistakes.catalogue import Mistake, judged
from vgg16_parity.judge.uneven import LayerError, uneven_alone, uneven_taps
from vgg16_parity.own_port import Arbiter
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

# Layer -> dimensions, length of its sums, and R alone of VGG16 in PyTorch and in Keras, seed 0.
LAYERS = {
    "block1_conv1": (4, 27, 0.757, 0.757),
    "block1_conv2": (4, 576, 0.315, 0.499),
    "block1_pool": (4, 1, 0.736, 0.736),
    "block2_conv1": (4, 576, 0.286, 0.538),
    "block2_conv2": (4, 1152, 0.207, 0.536),
    "block3_conv1": (4, 1152, 0.219, 0.557),
    "block3_conv2": (4, 2304, 0.156, 0.505),
    "block4_conv1": (4, 2304, 0.164, 0.569),
    "block4_pool": (4, 1, 0.739, 0.739),
    "block4_conv2": (4, 4608, 0.116, 0.469),
    "block5_conv1": (4, 4608, 0.117, 0.554),
    "block5_conv2": (4, 4608, 0.114, 0.510),
    "block5_pool": (4, 1, 0.729, 0.729),
    "fc1": (2, 25088, 0.303, 0.570),
    "fc2": (2, 4096, 0.267, 0.546),
    "predictions": (2, 4096, 0.256, 0.362),
}


def errors(runtime: int, independent: float = math.inf, **changed: float) -> list[LayerError]:
    return [
        LayerError(
            name,
            dims,
            2 + length / 6,
            changed.get(name, (torch, keras)[runtime]),
            lambda: independent,
        )
        for name, (dims, length, torch, keras) in LAYERS.items()
    ]


@pytest.mark.parametrize("runtime", [0, 1])
def test_a_runtimes_own_way_of_adding_up_is_not_noted(runtime: int) -> None:
    assert list(uneven_alone(errors(runtime))) == []


@pytest.mark.parametrize("runtime", [0, 1])
@pytest.mark.parametrize("layer", ["block4_conv2", "block5_conv2", "fc2", "predictions"])
def test_a_layer_far_above_its_neighbours_is_noted(runtime: int, layer: str) -> None:
    # What weights printed with %.6g add to sums of 4,096 to 4,608 products.
    own = errors(runtime)
    ratio = next(each.ratio for each in own if each.tap == layer)
    (note,) = uneven_alone(errors(runtime, **{layer: math.hypot(ratio, 1.4)}))
    assert note.startswith(f"{layer}: errors are 1.")
    # A few errors may be as far off by chance.
    assert not list(uneven_alone(errors(runtime, 2.0, **{layer: math.hypot(ratio, 1.4)})))


def test_of_taps_the_first_that_grows_is_noted() -> None:
    names = [f"conv{index}" for index in range(6)] + ["fc1", "fc2"]
    ratios = [0.75, 0.3, 0.2, 0.15, 0.14, 0.14, 0.24, 0.24]

    def taps(**changed: float) -> list[LayerError]:
        return [
            LayerError(
                name, 2 if "fc" in name else 4, 1, changed.get(name, ratio), lambda: math.inf
            )
            for name, ratio in zip(names, ratios, strict=True)
        ]

    assert list(uneven_taps(taps())) == []
    (note,) = uneven_taps(taps(fc2=0.7))
    assert note.startswith("fc2: errors are 0.7 times the predicted size, where 0.24 is usual")
    (note,) = uneven_taps(taps(conv4=1.6, conv5=1.5))
    assert note.startswith("conv4: ")


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    made = Arbiter(tiny, [photograph.path for photograph in PHOTOGRAPHS])
    yield made
    made.close()


def six_digits(name: str, values: NDArray[Any], features: tuple[int, ...]) -> NDArray[Any]:
    del features
    if name != "block3_conv2.weight":
        return values
    return np.array([float(f"{value:.6g}") for value in values.flat], np.float32).reshape(
        values.shape
    )


def uneven_notes(row: Row) -> list[str]:
    return [note for case in row.cases for note in case.notes if "usual in this run" in note]


def test_six_digits_of_one_layers_weights_are_noted_or_fail(arbiter: Arbiter) -> None:
    port = in_torch.Port("tiny")
    pictures = [photograph.path for photograph in PHOTOGRAPHS]
    right = judged(arbiter, port, None, pictures)
    assert right.status == "holds"
    assert not uneven_notes(right)
    wrong = Mistake("six digits", "six digits", "block3_conv2", "", {}, reweight=six_digits)
    row = judged(arbiter, port, wrong, pictures)
    assert row.first_wrong == "block3_conv2" or uneven_notes(row)[0].startswith("block3_conv2: ")

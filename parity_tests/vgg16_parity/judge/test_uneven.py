"""A layer with another error besides its rounding is noted, and a runtime's habits are not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mistakes import in_torch
from mistakes.catalogue import Mistake, judged
from onnx_arbiter.expectations import ArbiterTap
from onnx_arbiter.independence import largest_ratio
from parity_tests.support.helpers import PICTURES
from parity_tests.support.pages.reports import verdict
from vgg16_parity.judge.uneven import LayerError, uneven_alone, uneven_taps
from vgg16_parity.own_port import Arbiter
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint

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


def test_layers_in_more_bits_than_the_runs_mode_are_not_noted() -> None:
    # R of Keras on PyTorch on an H200, by default: TF32 in the convolutions, float32 in these.
    dense = {"fc1": 0.000866, "fc2": 0.000396, "predictions": 0.000272}
    assert list(uneven_alone(errors(0, **dense))) == []
    (note,) = uneven_alone(errors(0, **{layer: 100 * each for layer, each in dense.items()}))
    assert note.startswith("fc1: errors are 0.087 times")


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


def layer(
    name: str, ratio: float, dimensions: int = 4, length: float = 1.0, independent: float = math.inf
) -> LayerError:
    return LayerError(name, dimensions, length, ratio, lambda: independent)


@pytest.mark.parametrize("ratio", [0.375, 0.376])
def test_one_and_a_half_times_the_usual_is_not_far_above(ratio: float) -> None:
    others = [layer("a", 0.25), layer("b", 0.125)]
    expected = [
        f"c: errors are {ratio:.2g} times the predicted size, where 0.25 is usual in this run: "
        "were its weights rounded?"
    ][: ratio > 0.375]
    for uneven in (uneven_alone, uneven_taps):
        assert list(uneven([*others, layer("c", ratio)])) == expected


def test_a_layer_is_held_against_the_two_of_its_kind_that_are_nearest_in_length() -> None:
    far = [layer("short", 0.9, length=1), layer("long", 0.9, length=1000)]
    near = [layer("a", 0.2, length=10), layer("b", 0.15, length=13)]
    other_kind = [layer("c", 0.9, 2, 12), layer("d", 0.9, 2, 12)]
    no_errors = [layer("e", 0.0, length=11)]
    tested = layer("tested", 0.31, length=12)
    *_, note = uneven_alone([*far, *near, *other_kind, *no_errors, tested])
    assert note.startswith("tested: errors are 0.31 times the predicted size, where 0.2 is usual")
    assert not list(uneven_alone([near[0], tested, *other_kind, *no_errors]))
    assert not list(uneven_alone([tested]))
    # In a network's order, it is held against all of its kind before it.
    assert list(uneven_taps([*near, *other_kind, *no_errors, tested, *far])) == [note]
    assert not list(uneven_taps([far[0], *near, tested]))
    assert not list(uneven_taps([*other_kind, *no_errors, tested]))


@pytest.mark.parametrize("few", range(3))
def test_few_independent_errors_of_any_layer_involved_excuse_it(few: int) -> None:
    counts = [math.inf] * 3
    counts[few] = 2.0
    ratios = {"a": 0.2, "b": 0.1, "c": 0.5}
    made = [
        layer(name, r, independent=n) for (name, r), n in zip(ratios.items(), counts, strict=True)
    ]
    for uneven in (uneven_alone, uneven_taps):
        assert not list(uneven(made))
        assert len(list(uneven([layer(name, ratio) for name, ratio in ratios.items()]))) == 1


def test_few_errors_are_far_above_as_seldom_as_stated() -> None:
    # Of two independent errors each: R of the layer and of its neighbour may both be off.
    chance = largest_ratio(2, 1e-7) ** 2
    for nearly, notes in ((0.999, 0), (1.001, 1)):
        made = [
            layer("a", 0.25, independent=2.0),
            layer("b", 0.25 * 1.5 * chance * nearly, independent=2.0),
        ]
        assert len(list(uneven_taps(made))) == notes


def test_independent_errors_are_counted_only_where_it_matters() -> None:
    def counted() -> float:
        raise AssertionError

    made = [LayerError(name, 4, 1.0, ratio, counted) for name, ratio in (("a", 0.2), ("b", 0.3))]
    assert not list(uneven_taps(made))
    assert not list(uneven_alone([*made, made[0]]))


def test_a_layers_error_is_in_units_of_its_own_prediction() -> None:
    values = np.array([[[3.0, -4.0]], [[0.0, 5.0]]])
    deviation = np.array([[[0.5, 0.1]], [[0.3, 0.1]]], np.float32)
    tap = ArbiterTap(values, False, deviation * 7, deviation)
    made = LayerError.of("fc1", tap, verdict(), lambda: 8.0)
    assert (made.tap, made.dimensions, made.independent()) == ("fc1", 3, 8.0)
    assert made.length == pytest.approx(0.36 / 50)
    assert made.ratio == pytest.approx(0.5)
    assert LayerError.of("fc1", tap, replace(verdict(), rms_error=0.0), lambda: 8.0).ratio == 0
    nothing = ArbiterTap(values * 0, False, deviation, deviation)
    assert math.isfinite(LayerError.of("fc1", nothing, verdict(), lambda: 8.0).length)


@pytest.mark.parametrize("option", [{}, {"samples": 4}, {"samples": 6}])
def test_of_large_taps_every_so_many_values_are_read(option: dict[str, int]) -> None:
    samples = option.get("samples", 4096)
    # Every other value is zero: of twice as many as are read, none of those is.
    for size, share in ((samples, 0.5), (2 * samples - 2, 0.5), (2 * samples, 1.0)):
        values = np.tile([3.0, 0.0], size // 2).reshape(1, -1)
        tap = ArbiterTap(values, False, *[np.ones((1, size), np.float32)] * 2)
        made = LayerError.of("fc1", tap, verdict(), lambda: 1.0, **option)
        assert made.length == 1 / (9 * share)


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    made = Arbiter(tiny, PICTURES)
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
    right = judged(arbiter, port, None, PICTURES)
    assert right.status == "holds"
    assert not uneven_notes(right)
    wrong = Mistake("six digits", "six digits", "block3_conv2", "", {}, reweight=six_digits)
    row = judged(arbiter, port, wrong, PICTURES)
    assert row.first_wrong == "block3_conv2" or uneven_notes(row)[0].startswith("block3_conv2: ")

"""Each known mistake is undone on its own, and nothing else passes for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterTap
from onnx_arbiter.limits import LIMITS
from vgg16_parity.judge.known_outputs import explain, may_be_right

Values = NDArray[Any]

Z: Final = LIMITS.deviations.limit
# Four images of six classes, and two of maps (5, 4, 3): every value is another.
IMAGES, CLASSES = 4, 6
ARBITER: Final = np.random.default_rng(1).standard_normal((IMAGES, CLASSES)) * 3
MAPS: Final = np.random.default_rng(2).standard_normal((2, 5, 4, 3))
DEVIATION: Final = 1e-4


def right(
    values: Values, deviation: Values | float = DEVIATION, *, relu: bool = False
) -> ArbiterTap:
    sizes = np.full(values.shape, deviation, np.float32)
    return ArbiterTap(values, relu, sizes, sizes)


def of_logits(
    observed: Values, arbiter: Values = ARBITER, deviation: Values | float = DEVIATION
) -> str | None:
    return explain({"predictions": observed}, [("predictions", right(arbiter, deviation))])


def of_tap(observed: Values, *, relu: bool = True) -> str | None:
    return explain({"maps": observed}, [("maps", right(MAPS, relu=relu))])


def softmax(logits: Values) -> Values:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Values = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def moved(*order: int) -> Callable[[Values], Values]:
    return lambda values: values[:, list(order)]


SOFTMAX: Final = "they are probabilities: return the logits, before the softmax"
LOGARITHMS: Final = "they are logarithms of probabilities: return the logits, before the softmax"
ROWS: Final = "the rows are not in the order of the images but those of images"
MISTAKES: Final[Mapping[str, Callable[[Values], Values]]] = {
    "": lambda values: values,
    "they are transposed: return (N, classes)": lambda values: values.T,
    "their shape is (1, 4, 1, 6): return (4, 6)": lambda values: values[None, :, None],
    "there is a class in front of the network's: leave it out": (
        lambda values: np.insert(values, 0, 7, axis=1)
    ),
    "there is a class behind the network's: leave it out": (
        lambda values: np.insert(values, CLASSES, 7, axis=1)
    ),
    SOFTMAX: softmax,
    LOGARITHMS: lambda values: np.log(softmax(values)),
    "a ReLU follows the logits: return them before it": lambda values: np.maximum(values, 0),
    f"{ROWS} 2, 2, 0, …": lambda values: values[[2, 2, 0, 3]],
    "with classes 1 and 4 exchanged": moved(0, 4, 2, 3, 1, 5),
    "with classes in another order (3 of 6 moved: the port's 0, 1, 4 are the arbiter's 1, 4, 0)": (
        moved(1, 4, 2, 3, 0, 5)
    ),
    f"they are transposed: return (N, classes); {SOFTMAX}; {ROWS} 1, 0, 2, …": (
        lambda values: softmax(values[[1, 0, 2, 3]]).T
    ),
    f"{LOGARITHMS}; with classes 1 and 4 exchanged": (
        lambda values: np.log(softmax(moved(0, 4, 2, 3, 1, 5)(values)))
    ),
    f"a ReLU follows the logits: return them before it; {ROWS} 0, 1, 3, …": (
        lambda values: np.maximum(values[[0, 1, 3, 2]], 0)
    ),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_each_mistake_in_logits_is_told(said: str) -> None:
    assert of_logits(MISTAKES[said](ARBITER)) == said


def test_three_rows_are_listed_without_dots() -> None:
    assert of_logits(ARBITER[[2, 0, 1]], ARBITER[:3]) == f"{ROWS} 2, 0, 1"


@pytest.mark.parametrize("said", MISTAKES)
def test_rounding_hides_no_mistake_and_is_none(said: str) -> None:
    errors = np.zeros((IMAGES, CLASSES))
    errors[2, ARBITER[2].argmax()] = DEVIATION  # the largest value: no ReLU hides it
    assert of_logits(MISTAKES[said](ARBITER + errors)) == said
    assert of_logits(MISTAKES[said](ARBITER + 3 * Z * errors)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        ARBITER[:3],
        ARBITER[:, :5],
        np.insert(ARBITER, [0, 0], 7, axis=1),
        np.insert(ARBITER, 3, 7, axis=1),
        np.sort(ARBITER),
        np.maximum(ARBITER[:, [0, 4, 2, 3, 1, 5]], 0),
        ARBITER.reshape(CLASSES, IMAGES),
        ARBITER + 1,
        ARBITER * 2,
        ARBITER[:, [1, 1, 2, 3, 4, 5]],
        np.where(ARBITER < 0, 0.1 * ARBITER, ARBITER),
        np.full_like(ARBITER, np.nan),
    ],
)
def test_what_is_no_known_mistake_has_no_words(wrong: Values) -> None:
    assert of_logits(wrong) is None


def test_classes_that_a_single_image_does_not_tell_apart_are_told_by_another() -> None:
    arbiter = ARBITER.copy()
    arbiter[0, [1, 2]] = arbiter[0, 4]
    swapped = moved(0, 4, 2, 3, 1, 5)(arbiter)
    assert of_logits(swapped, arbiter) == "with classes 1 and 4 exchanged"
    arbiter[:, [1, 2]] = arbiter[:, [4]]
    assert of_logits(moved(0, 4, 2, 3, 1, 5)(arbiter), arbiter) == ""


def test_classes_that_no_image_tells_apart_are_in_no_order() -> None:
    arbiter = ARBITER.copy()
    arbiter[:, 2] = arbiter[:, 5]
    assert of_logits(moved(0, 4, 2, 3, 1, 5)(arbiter), arbiter) is None


def test_a_class_without_weights_has_no_error_and_keeps_its_place() -> None:
    arbiter = ARBITER.copy()
    arbiter[:, 2] = 0
    deviation = np.where(np.arange(CLASSES) == 2, 0, DEVIATION)
    swapped = moved(0, 4, 2, 3, 1, 5)(arbiter)
    assert of_logits(swapped, arbiter, deviation) == "with classes 1 and 4 exchanged"


def test_logits_far_apart_are_told_from_their_logarithms_of_probabilities() -> None:
    arbiter = ARBITER + np.array([[0.0], [2000.0], [-2000.0], [0.0]])
    arbiter[:, 2] += 900
    largest = arbiter.max(axis=1, keepdims=True)
    sums = np.exp(arbiter - largest).sum(axis=1, keepdims=True)
    assert of_logits(arbiter - largest - np.log(sums), arbiter) == LOGARITHMS


def test_logarithms_have_the_error_of_their_own_images_sum_too() -> None:
    deviation = DEVIATION * np.array([[1.0], [100.0], [1.0], [1.0]])
    logarithms = np.log(softmax(ARBITER))
    for shift, said in ((3.4, LOGARITHMS), (30, None)):
        observed = logarithms + shift * DEVIATION
        assert of_logits(observed, deviation=deviation) == said, shift


def test_logarithms_have_the_error_of_their_images_least_certain_logit() -> None:
    deviation = np.full((IMAGES, CLASSES), DEVIATION)
    deviation[:, 2] *= 100
    logarithms = np.log(softmax(ARBITER))
    for shift, said in ((100, LOGARITHMS), (1000, None)):
        observed = logarithms + shift * DEVIATION
        assert of_logits(observed, deviation=deviation) == said, shift


def test_a_probability_that_float32_does_not_hold_may_be_zero() -> None:
    arbiter = ARBITER.copy()
    arbiter[:, 2] -= 200
    probabilities = softmax(arbiter)
    assert (probabilities[:, 2] > 0).all()
    assert of_logits(probabilities.astype(np.float32), arbiter) == SOFTMAX


def test_small_whole_numbers_are_compared_as_numbers() -> None:
    arbiter = np.arange(24.0).reshape(IMAGES, CLASSES)[::-1]
    observed = moved(0, 4, 2, 3, 1, 5)(arbiter).astype(np.uint8)
    assert of_logits(observed, arbiter) == "with classes 1 and 4 exchanged"


NHWC: Final = "maps are (N, H, W, C): return (N, C, H, W)"
BEFORE: Final = "taps are taken before the ReLU: return them after it"
SHAPE: Final = "taps have the shape (2, 5, 4, 1, 3): return (2, 5, 4, 3)"


@pytest.mark.parametrize(
    ("said", "observed"),
    [
        ("", np.maximum(MAPS, 0)),
        (BEFORE, MAPS),
        (NHWC, np.maximum(MAPS, 0).transpose(0, 2, 3, 1)),
        (f"{NHWC}; {BEFORE}", MAPS.transpose(0, 2, 3, 1)),
        (SHAPE, np.maximum(MAPS, 0)[:, :, :, np.newaxis]),
        (f"{SHAPE}; {BEFORE}", MAPS[:, :, :, np.newaxis]),
        (None, MAPS.transpose(0, 1, 3, 2)),
        (None, MAPS.reshape(2, 4, 5, 3)),
        (None, MAPS * 1.01),
        (None, np.abs(MAPS)),
    ],
)
def test_each_mistake_in_a_tap_is_told(said: str | None, observed: Values) -> None:
    assert of_tap(observed) == said


def test_a_tap_without_a_relu_has_none() -> None:
    assert of_tap(MAPS, relu=False) == ""
    assert of_tap(np.maximum(MAPS, 0), relu=False) is None


def test_mistakes_of_several_taps_are_told_once_each() -> None:
    arbiter = [
        ("a", right(MAPS)),
        ("b", right(MAPS)),
        ("c", right(MAPS)),
        ("predictions", right(ARBITER)),
    ]
    nhwc = MAPS.transpose(0, 2, 3, 1)
    taps = {"a": nhwc, "b": nhwc, "predictions": softmax(ARBITER)}
    assert explain(taps, arbiter) == f"{NHWC}; {SOFTMAX}"
    assert explain(taps | {"c": MAPS + 1}, arbiter) is None
    assert explain({}, arbiter) == ""


@pytest.mark.parametrize(
    ("shape", "readable"),
    [
        ((4, 6), True),
        ((6, 4), True),
        ((1, 4, 1, 6), True),
        ((4, 7), True),
        ((4, 8), False),
        ((4, 5), False),
        ((3, 6), False),
        ((5, 7), False),
        ((24,), False),
    ],
)
def test_only_shapes_that_can_be_read_may_be_right(shape: tuple[int, ...], readable: bool) -> None:
    values = np.arange(float(np.prod(shape))).reshape(shape)
    assert may_be_right(values, (4, 6)) == readable
    values.flat[3] = np.inf
    assert not may_be_right(values, (4, 6))

"""Which mistake makes one set of weights of another: each one planted, named, and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_weights.comparison.verify import compare, known_mistakes, sentences
from vgg16_weights.comparison.which_mistake import PIECES, Difference, Pieces, known_mistake

Array = NDArray[Any]
# A tensor's name and a copy of its values -> those with a mistake.
Plant = Callable[[str, Array], Array]

# Not the seeded default, whose values are called that.
RIGHT: Final = generate(configuration("tiny"), 5)
MAPS: Final = RIGHT.configuration.feature_shape
ORDER: Final = np.random.default_rng(0).permutation(1000)
NOISE: Final = np.random.default_rng(1)
CONVOLUTIONS: Final = "all 13 convolutions: B is A with "


def planted(plant: Plant, base: Checkpoint = RIGHT) -> Checkpoint:
    values = {name: plant(name, np.array(base[name])) for name in base}
    return base.with_tensors(
        {name: np.ascontiguousarray(each, np.float32) for name, each in values.items()}
    )


def found(ours: Checkpoint, theirs: Checkpoint, pieces: Pieces = PIECES) -> list[str]:
    findings = known_mistakes(compare(ours, theirs), ours, theirs, pieces)
    return list(sentences(findings, ours.configuration))


def in_kernels(change: Callable[[Array], Array]) -> Plant:
    return lambda _, values: change(values) if values.ndim == 4 else values


def in_tensor(tensor: str, change: Callable[[Array], Array]) -> Plant:
    """In a tensor, or in all of a layer."""
    return lambda name, values: change(values) if name.startswith(tensor) else values


def in_all(change: Callable[[Array], Array]) -> Plant:
    return lambda _, values: change(values)


def flattened(values: Array, axes: tuple[int, ...]) -> Array:
    """fc1's inputs, C, H, W, in another order of the axes."""
    moved = values.reshape(-1, *MAPS).transpose(0, *(1 + axis for axis in axes))
    return np.array(moved).reshape(values.shape)


def squares(change: Callable[[Array], Array]) -> Plant:
    return lambda _, v: change(v) if v.ndim > 1 and v.shape[0] == v.shape[1] else v


def exchanged(values: Array, first: int, second: int) -> Array:
    values[[first, second]] = values[[second, first]]
    return values


def printed(values: Array, form: str) -> Array:
    return np.array([float(form % value) for value in values.ravel()]).reshape(values.shape)


def cut(values: Array) -> Array:
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def rounded_to_bfloat16(values: Array) -> Array:
    import torch

    return torch.tensor(values).to(torch.bfloat16).float().numpy()


EXCHANGED: Final = {"block3_conv2": "block3_conv3", "block3_conv3": "block3_conv2"}
FIRST: Final = "block1_conv1.weight"
STDS: Final = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
MOVED: Final = np.count_nonzero(np.arange(1000) != ORDER)
ORDERED: Final = ", ".join(map(str, ORDER[:3]))

# What is said of each mistake -> the mistake.
MISTAKES: Final[Mapping[str, Plant]] = {
    "fc1.weight: B is A with inputs in the order height, width, channel": in_tensor(
        "fc1.weight", lambda v: flattened(v, (1, 2, 0))
    ),
    "fc1.weight: A is B with inputs in the order height, width, channel": in_tensor(
        "fc1.weight",
        lambda v: v.reshape(-1, *MAPS[1:], MAPS[0]).transpose(0, 3, 1, 2).reshape(v.shape),
    ),
    "fc1.weight: B is A with inputs in the order channel, width, height": in_tensor(
        "fc1.weight", lambda v: flattened(v, (0, 2, 1))
    ),
    "fc1.weight: B is A with inputs in the order height, width, channel, rounded to float16": (
        in_tensor("fc1.weight", lambda v: flattened(v, (1, 2, 0)).astype(np.float16))
    ),
    "fc1.weight: B is A with inputs and outputs swapped by a reshape, not a transpose, "
    "inputs in the order height, width, channel": in_tensor(
        "fc1.weight", lambda v: v.reshape(-1, *MAPS).transpose(2, 3, 1, 0).reshape(v.shape)
    ),
    f"{CONVOLUTIONS}kernels transposed in height and width": in_kernels(lambda v: v.swapaxes(2, 3)),
    f"{CONVOLUTIONS}kernels turned by half a turn": in_kernels(lambda v: v[:, :, ::-1, ::-1]),
    f"{CONVOLUTIONS}kernels mirrored left to right": in_kernels(lambda v: v[:, :, :, ::-1]),
    f"{CONVOLUTIONS}kernels mirrored top to bottom": in_kernels(lambda v: v[:, :, ::-1]),
    f"{CONVOLUTIONS}kernels turned by a quarter to the left": in_kernels(
        lambda v: np.rot90(v, 1, (2, 3))
    ),
    f"{CONVOLUTIONS}kernels turned by a quarter to the right": in_kernels(
        lambda v: np.rot90(v, -1, (2, 3))
    ),
    f"{CONVOLUTIONS}values in the order height, width, in, out read as out, in, height, width": (
        in_kernels(lambda v: v.transpose(2, 3, 1, 0).reshape(v.shape))
    ),
    f"{CONVOLUTIONS}kernels turned by half a turn, rounded to float16": in_kernels(
        lambda v: v[:, :, ::-1, ::-1].astype(np.float16)
    ),
    "block1_conv2.weight, block2_conv2.weight, block3_conv2.weight and 7 more: "
    "B is A with inputs and outputs swapped": squares(lambda v: v.swapaxes(0, 1)),
    "predictions.weight: B is A with inputs and outputs swapped by a reshape, not a transpose": (
        in_tensor("predictions.weight", lambda v: v.T.reshape(v.shape))
    ),
    f"{FIRST}: B is A with input channels reversed (BGR for RGB)": in_tensor(
        FIRST, lambda v: v[:, ::-1]
    ),
    f"{FIRST}: B is A with input channels reversed (BGR for RGB) and kernels turned by half a turn"
    ", divided by 255": in_tensor(FIRST, lambda v: v[:, ::-1, ::-1, ::-1] / np.float32(255)),
    "predictions: B is A with classes 3 and 7 exchanged": in_tensor(
        "predictions", lambda v: exchanged(v, 3, 7)
    ),
    "predictions.weight: B is A with classes 3 and 7 exchanged": in_tensor(
        "predictions.weight", lambda v: exchanged(v, 3, 7)
    ),
    "predictions: B is A with classes in another order "
    f"({MOVED} of 1000 moved: B's 0, 1, 2 are A's {ORDERED})": in_tensor(
        "predictions", lambda v: v[ORDER]
    ),
    "block4_conv2: B is A with outputs 2 and 5 exchanged": in_tensor(
        "block4_conv2", lambda v: exchanged(v, 2, 5)
    ),
    "all 32 tensors: B is A rounded to float16": in_all(lambda v: v.astype(np.float16)),
    "all 32 tensors: B is A rounded to bfloat16": in_all(rounded_to_bfloat16),
    "all 32 tensors: B is A cut to bfloat16": in_all(cut),
    "all 32 tensors: B is A rounded to 6 significant digits": in_all(lambda v: printed(v, "%.6g")),
    "all 32 tensors: B is A rounded to 4 decimals": in_all(lambda v: printed(v, "%.4f")),
    "all 32 tensors: B is A negated": in_all(np.negative),
    "fc2.weight: B is A times 2": in_tensor("fc2.weight", lambda v: 2 * v),
    "fc2.weight: B is A times -0.3": in_tensor("fc2.weight", lambda v: v * np.float32(-0.3)),
    f"{FIRST}: B is A times 255": in_tensor(FIRST, lambda v: 255 * v),
    f"{FIRST}: B is A with input channels times 4.36681, 4.46429, 4.44444: "
    "a normalisation inside": (in_tensor(FIRST, lambda v: v / STDS)),
    "all 16 biases: B is zero": lambda _, v: 0 * v if v.ndim == 1 else v,
    "block3_conv2, block3_conv3: B is A with block3_conv2 and block3_conv3 exchanged": (
        lambda name, _: RIGHT[EXCHANGED.get(name[:12], name[:12]) + name[12:]]
    ),
    "block3_conv3.weight: B has the values of A's block3_conv2.weight": in_tensor(
        "block3_conv3.weight", lambda _: RIGHT["block3_conv2.weight"]
    ),
    "predictions: B has the seeded default's values, which are untrained": (
        lambda name, v: generate(RIGHT.configuration)[name] if name.startswith("pred") else v
    ),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_is_named_and_no_other(said: str) -> None:
    assert found(RIGHT, planted(MISTAKES[said])) == [f"{said}."]


@pytest.mark.parametrize(
    ("said", "reversed_words"),
    [
        ("all 32 tensors: B is A rounded to float16", "all 32 tensors: A is B rounded to float16"),
        (
            "fc1.weight: B is A with inputs in the order height, width, channel",
            "fc1.weight: A is B with inputs in the order height, width, channel",
        ),
        ("fc2.weight: B is A times 2", "fc2.weight: B is A times 0.5"),
        ("all 16 biases: B is zero", "all 16 biases: A is zero"),
    ],
)
def test_the_mistake_may_be_on_either_side(said: str, reversed_words: str) -> None:
    assert found(planted(MISTAKES[said]), RIGHT) == [f"{reversed_words}."]


@pytest.mark.parametrize("said", MISTAKES)
def test_tensors_larger_than_a_block_are_read_block_by_block(said: str) -> None:
    assert found(RIGHT, planted(MISTAKES[said]), Pieces(50, 600, 40)) == [f"{said}."]


def test_a_mistake_is_named_only_where_it_explains_every_value() -> None:
    def turned_but_for_one(values: Array) -> Array:
        turned = values[:, :, ::-1, ::-1].copy()
        turned[-1, -1, -1, -1] += 1e-3
        return turned

    theirs = planted(in_tensor("block2_conv1.weight", turned_but_for_one))
    (said,) = found(RIGHT, theirs, PIECES._replace(sample_values=10))
    assert said == (
        "block2_conv1.weight: B differs from A with kernels turned by half a turn in 1 of 216 "
        "values, by up to 0.001 (rms 0.00029 of A's): most values are equal."
    )


def nearly(relative: float) -> Plant:
    return in_all(
        lambda v: v + np.float32(relative) * v.std() * NOISE.standard_normal(v.shape, np.float32)
    )


def shuffled(_: str, values: Array) -> Array:
    return NOISE.permutation(values.ravel()).reshape(values.shape) if values.ndim > 1 else values


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (nearly(1e-7), "rounding errors"),
        (nearly(1e-2), "trained further, or stored in fewer bits"),
        (lambda name, _: generate(RIGHT.configuration, 6)[name], "other weights"),
        (in_all(lambda v: NOISE.standard_normal(v.shape)), "other weights"),
        (shuffled, "other weights"),
    ],
)
def test_other_differences_are_sized_and_no_mistake_is_named(plant: Plant, words: str) -> None:
    theirs = planted(plant)
    (said,) = found(RIGHT, theirs)
    assert said.startswith(("all 32 tensors: B differs from A in ", "all 16 weights: B differs"))
    assert said.endswith(f" of A's): {words}.")


def test_a_changed_value_is_counted() -> None:
    one = np.arange(8) == 1
    theirs = planted(in_tensor("block3_conv2.bias", lambda v: v + np.float32(1e-3) * one))
    (said,) = found(RIGHT, theirs)
    assert said.startswith("block3_conv2.bias: B differs from A in 1 of 8 values, by up to 0.001 (")
    assert said.endswith("): most values are equal.")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_differs_by_infinity(value: float) -> None:
    one = np.arange(8) == 1
    broken = planted(in_tensor("block3_conv2.bias", lambda v: np.where(one, value, v)))
    for sides in ((RIGHT, broken), (broken, RIGHT)):
        (said,) = found(*sides)
        assert said.startswith("block3_conv2.bias: B differs from A in 1 of 8 values, by up to inf")


def test_a_zero_with_the_other_sign_is_another_value() -> None:
    zero = planted(in_tensor("block3_conv2.bias", lambda v: np.where(np.arange(8) == 1, 0.0, v)))
    theirs = planted(in_tensor("block3_conv2.bias", lambda v: np.where(v == 0, -0.0, v)), zero)
    (said,) = found(zero, theirs)
    assert said.startswith("block3_conv2.bias: B differs from A in 1 of 8 values, by up to 0 (")


def test_the_sides_have_the_names_that_are_given() -> None:
    name, sides = "predictions.bias", ("the checkpoint's", "the file")
    ours, maps = np.array(RIGHT[name]), RIGHT.configuration.feature_shape

    def said(theirs: Array, *, swap: bool = False) -> str | Difference:
        one, other = (theirs, ours) if swap else (ours, theirs)
        return known_mistake(name, one, other, maps, sides=sides)

    assert said(-2 * ours) == "the file is the checkpoint's times -2"
    assert said(cut(ours)) == "the file is the checkpoint's cut to bfloat16"
    assert said(cut(ours), swap=True) == "the checkpoint's is the file cut to bfloat16"
    assert said(np.zeros_like(ours), swap=True) == "the checkpoint's is zero"
    words = f"1000 moved: the file's 0, 1, 2 are the checkpoint's {ORDERED})"
    assert str(said(ours[ORDER])).endswith(words)


def test_equal_and_missing_tensors_and_other_shapes_are_not_explained() -> None:
    assert found(RIGHT, planted(in_all(lambda v: v))) == []
    assert found(RIGHT, RIGHT.without_top()) == []
    assert found(RIGHT, generate(configuration("tiny", classes=10), 5)) == []

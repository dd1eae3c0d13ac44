"""What each known mistake makes of a tensor, by NumPy's own functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from vgg16_weights.comparison import known_mistakes
from vgg16_weights.comparison.known_mistakes import arrangements, changes_of, order_words

Array = Any

KERNELS: Final = np.arange(3 * 3 * 2 * 2).reshape(3, 3, 2, 2)
TURNS: Final[dict[str, Callable[[Array], Array]]] = {
    "": lambda k: k,
    "kernels transposed in height and width": lambda k: k.transpose(0, 1, 3, 2),
    "kernels turned by half a turn": lambda k: np.rot90(k, 2, (2, 3)),
    "kernels mirrored left to right": lambda k: k[..., ::-1],
    "kernels mirrored top to bottom": lambda k: k[..., ::-1, :],
    "kernels turned by a quarter to the left": lambda k: np.rot90(k, 1, (2, 3)),
    "kernels turned by a quarter to the right": lambda k: np.rot90(k, -1, (2, 3)),
    "kernels mirrored along the other diagonal": (
        lambda k: np.rot90(k, 2, (2, 3)).transpose(0, 1, 3, 2)
    ),
}


def found(name: str, values: Array) -> dict[str, Array]:
    return {words: view(values) for words, view in arrangements(name, values.shape)}


def test_kernels_are_turned_and_their_axes_exchanged_in_every_combination() -> None:
    made = found("block1_conv1.weight", KERNELS)
    words = []
    for reverse in (False, True):
        for swap in (False, True):
            for turn, apply in TURNS.items():
                values = KERNELS[:, ::-1] if reverse else KERNELS
                values = values.swapaxes(0, 1) if swap else values
                parts = ["input channels reversed (BGR for RGB)"] if reverse else []
                parts += ["inputs and outputs swapped"] if swap else []
                words.append(" and ".join([*parts, *([turn] if turn else [])]))
                np.testing.assert_array_equal(made[words[-1]], apply(values), err_msg=words[-1])
    assert list(made)[: len(words)] == words


def test_kernels_may_be_read_in_every_other_order_of_axes() -> None:
    kernels = np.arange(4 * 5 * 3 * 3).reshape(4, 5, 3, 3)
    made = found("block2_conv1.weight", kernels)
    read = [words for words in made if words.startswith("values in the order")]
    names = {"out": 0, "in": 1, "height": 2, "width": 3}
    assert len(read) == 24 - 2  # those that leave (4, 5, 3, 3) are no reshape
    for words in read:
        order = words.removeprefix("values in the order ").partition(" read as ")
        assert order[2] == "out, in, height, width"
        axes = [names[axis] for axis in order[0].split(", ")]
        np.testing.assert_array_equal(made[words], kernels.transpose(axes))
    assert "inputs and outputs swapped" not in made
    assert not any("BGR" in words for words in made)


def test_maps_may_be_flattened_in_every_other_order() -> None:
    weight = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    made = found("fc1.weight", weight)
    names = {"channel": 1, "height": 2, "width": 3}
    expected = {"": weight}
    swapped = "inputs and outputs swapped by a reshape, not a transpose"
    for order in ("CHW", "HWC", "HCW", "CWH", "WHC", "WCH"):
        words = [{"C": "channel", "H": "height", "W": "width"}[axis] for axis in order]
        axes = [names[word] for word in words]
        said = f"inputs in the order {', '.join(words)}"
        if order != "CHW":
            expected[said] = weight.transpose(0, *axes)
        with_swap = swapped if order == "CHW" else f"{swapped}, {said}"
        expected[with_swap] = weight.transpose(*axes, 0)
    assert list(made) == list(expected)
    for mistake, values in expected.items():
        np.testing.assert_array_equal(made[mistake], values, err_msg=mistake)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 3), "inputs and outputs swapped"),
        ((2, 3), "inputs and outputs swapped by a reshape, not a transpose"),
    ],
)
def test_a_dense_weight_may_be_transposed(shape: tuple[int, int], words: str) -> None:
    values = np.arange(shape[0] * shape[1]).reshape(shape)
    made = found("fc2.weight", values)
    assert list(made) == ["", words]
    np.testing.assert_array_equal(made[words], values.T)


def test_a_bias_is_not_moved() -> None:
    assert list(found("fc1.bias", np.arange(3))) == [""]


WORDS: Final = [
    "", "rounded to float16", "rounded to bfloat16", "cut to bfloat16", "negated",
    *(f"rounded to {count} {what}" for what in ("decimals", "significant digits")
      for count in range(3, 9)),
]  # fmt: skip


def test_values_may_be_rounded_negated_or_multiplied() -> None:
    assert [change.words for change in changes_of(1.0, "")] == WORDS
    assert [change.words for change in changes_of(0.5, "")] == [*WORDS, "times 0.5"]
    # The likely change comes after nothing: every text holds the empty one.
    likely = [change.words for change in changes_of(1.0, "B is A cut to bfloat16")]
    assert likely == ["", "cut to bfloat16", *(w for w in WORDS[1:] if w != "cut to bfloat16")]


VALUES: Final = np.array([1.23456789, -0.00123456789, 98765.4321, 0.0, -7.0, 6e4], np.float32)


@pytest.mark.parametrize("count", range(3, 9))
def test_rounded_values_are_those_that_are_printed(count: int) -> None:
    changes = {change.words: change for change in changes_of(1.0, "")}
    printed = [float(f"{value:.{count}f}") for value in VALUES.astype(float)]
    decimals = changes[f"rounded to {count} decimals"].make(VALUES)
    assert decimals.tolist() == np.array(printed, np.float32).tolist()
    printed = [float(f"{value:.{count}g}") for value in VALUES.astype(float)]
    digits = changes[f"rounded to {count} significant digits"].make(VALUES)
    assert digits.tolist() == np.array(printed, np.float32).tolist()
    assert changes["negated"].make(VALUES).tolist() == (-VALUES).tolist()


@pytest.mark.parametrize(
    ("factor", "made", "words"),
    [
        (255.0, 255.0, "times 255"),
        (255.0001, 255.0, "times 255"),
        (1 / 255, 1 / 255, "divided by 255"),
        (-2.0, -2.0, "times -2"),
        (0.0, 0.0, "times 0"),
        (math.pi, math.pi, "times 3.14159"),
        (1 / math.pi, 1 / math.pi, "times 0.31831"),
    ],
)
def test_a_factor_is_said_as_a_short_number(factor: float, made: float, words: str) -> None:
    assert known_mistakes._plain(factor) == (made, words)
    change = changes_of(factor, "")[-1]
    assert change.words == words
    assert change.rounding == 2.0**-22
    assert change.make(VALUES).tolist() == (made * VALUES).astype(np.float32).tolist()


def test_a_factor_of_one_is_none() -> None:
    for factor in (1.0, 1 + 2.0**-22, 1 - 2.0**-22):
        assert [change.words for change in changes_of(factor, "")] == WORDS
    assert len(changes_of(1 + 2.0**-21, "")) == len(WORDS) + 1


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 4, 2, 3, 1], "classes 1 and 4 exchanged"),
        (
            [1, 2, 0, 3, 5, 6, 4],
            "classes in another order (6 of 7 moved: B's 0, 1, 2 are A's 1, 2, 0)",
        ),
    ],
)
def test_an_order_is_said_by_its_first_three(order: list[int], words: str) -> None:
    assert order_words(np.array(order), "class", "A", "B") == words
    of_outputs = words.replace("classes", "outputs").replace("B's", "the file's")
    assert order_words(np.array(order), "output", "A", "the file's") == of_outputs

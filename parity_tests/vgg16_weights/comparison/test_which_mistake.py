"""Tensors are compared to the last bit of the last value, however few are looked at together."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

import vgg16_weights
from parity_tests.support.helpers import Command
from parity_tests.support.weights.changed import with_value
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, Tensor, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.checkpoint.tensors import BFLOAT16
from vgg16_weights.comparison.known_mistakes import (
    TO_BFLOAT16,
    TO_FLOAT16,
    UNCHANGED,
    Change,
)
from vgg16_weights.comparison.verify import Row, compare, known_mistakes
from vgg16_weights.comparison.which_mistake import Difference, Pieces, is_same, known_mistake

# The smallest tensor has 4 values, 16 bytes: blocks of one value, of less than the tensor, and of
# half of it; a sample of one value, which is not the one that differs.
PIECES: Final = (
    Pieces(1, block_bytes=4),
    Pieces(1, block_bytes=8, chunk_values=1),
    Pieces(1, block_bytes=12, chunk_values=2),
)
pieces = pytest.mark.parametrize("pieces", PIECES)
RIGHT: Final = generate(configuration("tiny", classes=5), 5)
LARGEST: Final = np.finfo(np.float32).max
DENORMAL: Final = np.float32(1e-45)


def floats(*bits: int) -> NDArray[np.float32]:
    return np.array(bits, np.uint32).view(np.float32)


# Values whose difference, or whose equality, arithmetic does not show.
APART: Final = {
    "0 and -0": floats(0x00000000, 0x80000000),
    "NaN and another NaN": floats(0x7FC00000, 0x7FC00001),
    "NaN and -NaN": floats(0x7FC00000, 0xFFC00000),
    "the smallest number and 0": floats(0x00000001, 0x00000000),
    "the smallest number and the next": floats(0x00000001, 0x00000002),
    "infinity and -infinity": floats(0x7F800000, 0xFF800000),
    "infinity and NaN": floats(0x7F800000, 0x7FC00000),
    "infinity and the largest number": floats(0x7F800000, 0x7F7FFFFF),
    "1 and the next": floats(0x3F800000, 0x3F800001),
}


@pieces
@pytest.mark.parametrize("place", [0, 1, 5, 6])
@pytest.mark.parametrize("values", APART.values(), ids=APART)
def test_other_bits_are_another_value(
    values: NDArray[np.float32], place: int, pieces: Pieces
) -> None:
    ours = np.float32(1e-3) / np.arange(3, 10, dtype=np.float32)  # no rounding leaves these
    theirs = ours.copy()
    ours[place], theirs[place] = values
    assert not is_same(ours, theirs, pieces=pieces)
    assert not is_same(theirs, ours, pieces=pieces)
    assert is_same(ours, ours.copy(), pieces=pieces)
    found = known_mistake("fc2.bias", ours, theirs, (1, 1, 1), pieces=pieces)
    assert isinstance(found, Difference)
    assert (found.differing, found.size) == (1, 7)


@pytest.mark.parametrize("change", [UNCHANGED, TO_FLOAT16], ids=["float32", "float16"])
def test_rounded_values_keep_their_sign_and_their_nan(change: Change) -> None:
    ours = np.array([0.0, -0.0, 1.0, np.nan], np.float32)
    for dtype in (np.float32, np.float16):
        assert is_same(ours, ours.astype(dtype), change)
        assert not is_same(ours, np.abs(ours).astype(dtype), change)


@pieces
@pytest.mark.parametrize("place", [0, 1, -1])
@pytest.mark.parametrize("name", ["block1_conv1.bias", "fc1.weight", "predictions.bias"])
def test_one_changed_value_is_found_wherever_it_is(name: str, place: int, pieces: Pieces) -> None:
    before = RIGHT[name].flat[place]
    theirs = with_value(RIGHT, name, place, np.nextafter(before, LARGEST))
    rows = compare(RIGHT, theirs, pieces.block_bytes)
    assert [row.tensor for row in rows if row.verdict == "differs"] == [name]
    found = known_mistakes(rows, RIGHT, theirs, pieces)[name]
    assert isinstance(found, Difference)
    assert (found.differing, found.size) == (1, RIGHT[name].size)
    assert 0 < found.largest <= 2 * abs(np.spacing(before))


def stored_as(dtype: str) -> Checkpoint:
    """The weights in a file of fewer bits: views of its type, which become float32 later."""

    def view(values: NDArray[np.float32]) -> NDArray[Any]:
        if dtype != "bfloat16":
            return values.astype(dtype)
        return (TO_BFLOAT16.make(values).view(np.uint32) >> 16).astype("<u2").view(BFLOAT16)

    return RIGHT.with_tensors(
        {
            name: Tensor(values.shape, "float32", partial(view, values))
            for name, values in RIGHT.items()
        }
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_file_of_fewer_bits_is_read_as_its_values(dtype: str) -> None:
    narrow = stored_as(dtype)
    for made, of, ours, theirs in (("B", "A", RIGHT, narrow), ("A", "B", narrow, RIGHT)):
        found = known_mistakes(compare(ours, theirs), ours, theirs)
        assert found == dict.fromkeys(RIGHT, f"{made} is {of} rounded to {dtype}")
    order = [1, 0, *range(2, 32)]
    swapped = {name: narrow[name][order] for name in ("fc2.weight", "fc2.bias")}
    theirs = narrow.with_tensors(swapped)
    found = known_mistakes(compare(narrow, theirs), narrow, theirs)
    words = "B is A with outputs 0 and 1 exchanged"
    assert found == {"fc2.weight": words, "fc2.bias": words}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rounded", (0x3F800000, 0x3F820000, 0x3F810000, 0x3F810000, 0xBF820000)),
        ("cut", (0x3F800000, 0x3F810000, 0x3F800000, 0x3F810000, 0xBF810000)),
    ],
)
def test_half_a_step_of_bfloat16_is_rounded_to_even(words: str, expected: tuple[int, ...]) -> None:
    ours = floats(0x3F808000, 0x3F818000, 0x3F808001, 0x3F817FFF, 0xBF818000)
    said = known_mistake("fc2.bias", ours, floats(*expected), (1, 1, 1))
    assert said == f"B is A {words} to bfloat16"


@pieces
def test_a_tensor_is_zero_only_if_all_of_it_is(pieces: Pieces) -> None:
    maps, name = RIGHT.configuration.feature_shape, "block2_conv1.bias"
    ours = np.array(RIGHT[name])
    assert known_mistake(name, ours, np.zeros_like(ours), maps, pieces=pieces) == "B is zero"
    for place in range(len(ours)):
        theirs = np.zeros_like(ours)
        theirs[place] = DENORMAL
        assert known_mistake(name, ours, theirs, maps, pieces=pieces) != "B is zero"


@pieces
def test_outputs_are_exchanged_only_if_all_their_values_are(pieces: Pieces) -> None:
    maps, name = RIGHT.configuration.feature_shape, "fc2.weight"
    ours = np.array(RIGHT[name])
    for wrong in (False, True):
        theirs = ours[[1, 0, *range(2, len(ours))]]
        if wrong:
            theirs[-1, -1] = np.nextafter(theirs[-1, -1], LARGEST)
        said = known_mistake(name, ours, theirs, maps, pieces=pieces)
        assert (said == "B is A with outputs 0 and 1 exchanged") == (not wrong)


def test_the_command_counts_values_that_only_their_bits_tell_apart(
    tmp_path: Path, vgg16: Command
) -> None:
    for name, value in (("a", 0.0), ("b", -0.0), ("c", DENORMAL)):
        write_checkpoint(with_value(RIGHT, "fc2.bias", -1, value), tmp_path / f"{name}.safetensors")
    files = {name: tmp_path / f"{name}.safetensors" for name in "abc"}
    for other in "bc":
        done = vgg16("weights", "verify", files["a"], files[other])
        assert done.status == 1
        assert "fc2.bias: B differs from A in 1 of 32 values" in done.out
    assert vgg16("weights", "verify", files["b"], files["b"]).status == 0


@pytest.mark.parametrize("name", vgg16_weights.writable())
def test_a_port_keeps_every_bit(tmp_path: Path, name: str) -> None:
    values = np.array(RIGHT["fc2.bias"])
    values[:6] = (0.0, -0.0, DENORMAL, -DENORMAL, LARGEST, -LARGEST)
    ours = RIGHT.with_tensors({"fc2.bias": values})
    vgg16_weights.write(ours, tmp_path / "w", name)
    read = vgg16_weights.read(tmp_path / "w")
    assert read["fc2.bias"].tobytes() == values.tobytes()
    assert {row.verdict for row in compare(ours, read)} == {"equal"}


def test_a_row_is_equal_only_with_every_digit_of_its_digest() -> None:
    digest = "0123456789abcdef" * 4
    for place in range(len(digest)):
        other = f"{digest[:place]}{'0' if digest[place] != '0' else '1'}{digest[place + 1 :]}"
        assert Row("fc2.bias", (32,), digest, other).verdict == "differs"
    assert Row("fc2.bias", (32,), digest, digest).verdict == "equal"

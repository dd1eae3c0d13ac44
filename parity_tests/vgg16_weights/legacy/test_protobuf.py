"""The outermost message of a Caffe network, field by field."""

from __future__ import annotations

import pytest

from vgg16_weights.legacy import caffemodel
from vgg16_weights.legacy.caffemodel import begins_a_network


@pytest.mark.parametrize(
    ("content", "value", "behind"),
    [
        (b"\x00", 0, 1),
        (b"\x7f\xff", 127, 1),
        (b"\x80\x01", 128, 2),
        (b"\xac\x02\x07", 300, 2),
        (b"\xff" * 9 + b"\x01", (1 << 64) - 1, 10),
    ],
)
def test_a_number_has_seven_bits_a_byte(content: bytes, value: int, behind: int) -> None:
    assert caffemodel._varint(content, 0) == (value, behind)
    assert caffemodel._varint(b"\xff\xff" + content, 2) == (value, behind + 2)


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80" * 10 + b"\x01"])
def test_a_number_that_does_not_end_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no number at byte 0"):
        caffemodel._varint(content, 0)


NAME = b"\x0a\x03vgg"
FIELDS = NAME + b"\x18\x05" + b"\x21" + bytes(8) + b"\x2d" + bytes(4) + b"\x12\x00"


def test_fields_are_passed_over_by_their_types() -> None:
    assert list(caffemodel._fields(FIELDS, len(FIELDS))) == [(1, 2), (3, 0), (4, 1), (5, 5), (2, 2)]
    with pytest.raises(ValueError, match="a field of wire type 3 at byte 1"):
        list(caffemodel._fields(b"\x0b\x00", 2))


@pytest.mark.parametrize(
    ("start", "begins"),
    [
        (FIELDS, True),
        (NAME + b"\x12\x00", True),
        (NAME + b"\xa2\x06\x00", True),  # field 100
        (b"\x12\x00", True),
        (b"\x10\x00", False),  # layers that are a number
        (b"\x08\x00\x12\x00", False),  # a name that is one
        (b"\x4a\x00\x12\x00", False),  # field 9 comes before no layer
        (NAME, False),
        (b"\x0b", False),
    ],
)
def test_a_network_begins_with_its_name_and_inputs(start: bytes, begins: bool) -> None:
    assert begins_a_network(start) is begins


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("conv.weight", (64, 3, 3, 3), (64, 3, 3, 3)),
        ("conv.weight", (1, 3, 3, 3), (1, 3, 3, 3)),
        ("fc.weight", (1, 1, 10, 20), (10, 20)),
        ("fc.weight", (10, 20), (10, 20)),
        ("fc.bias", (1, 1, 1, 20), (20,)),
        ("fc.bias", (1, 1, 1, 1), (1,)),
        ("fc.bias", (20,), (20,)),
    ],
)
def test_leading_ones_of_the_older_form_are_dropped(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert caffemodel._canonical_shape(name, shape) == expected

"""Values of any framework become arrays of numbers, or are refused by their type."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from onnx_arbiter.models.foreign_arrays import array_of, is_tensor
from vgg16_spec.errors import BadInput

VALUES = [[1.0, 2.5], [-3.0, 4.0]]
ARRAY = np.array(VALUES, np.float32)
GIVEN: dict[str, Any] = {
    "an array": ARRAY,
    "lists": VALUES,
    "a tensor": torch.tensor(VALUES),
    "a tensor with a gradient": torch.tensor(VALUES).requires_grad_(),
    "a tensor of bfloat16": torch.tensor(VALUES).bfloat16(),
    "an array of bfloat16": ARRAY.astype(ml_dtypes.bfloat16),
    "the only one of a list": [ARRAY],
    "the only one of a tuple": (torch.tensor(VALUES),),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_values_are_taken_from_any_framework(kind: str) -> None:
    found = array_of("p", "y", GIVEN[kind], "numbers")
    np.testing.assert_array_equal(found, ARRAY)
    assert found.dtype == (np.float64 if kind == "lists" else np.float32)


class Lazy:
    def __array__(self, *_: object) -> np.ndarray[Any, Any]:
        raise RuntimeError("no values yet")


REFUSED: dict[str, tuple[Any, str]] = {
    "two": ([ARRAY, ARRAY], r"^p: gave 2 arrays as y: which one\?; expected numbers$"),
    "an object": (object(), "^p: gave a object as y, which is not an array of numbers; expected n"),
    "nothing": (None, "^p: gave a NoneType as y, which is not an array of numbers"),
    "a text": ("x", "^p: gave a str as y, which is not an array of numbers"),
    "bytes": (b"x", "^p: gave a bytes as y, which is not an array of numbers"),
    "dates": (np.zeros(2, "M8[s]"), "^p: gave a ndarray as y, which is not an array of numbers"),
    "without values": (
        Lazy(),
        "^p: gave a Lazy as y, which is not an array; expected arrays of numbers, computed eagerly",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_array_of_numbers_is_refused_by_its_type(kind: str) -> None:
    values, problem = REFUSED[kind]
    with pytest.raises(BadInput, match=problem):
        array_of("p", "y", values, "numbers")


def test_a_list_of_numbers_is_an_array_and_none_of_several() -> None:
    assert array_of("p", "y", [1, 2], "numbers").tolist() == [1, 2]
    assert array_of("p", "y", [np.ones(2), np.zeros(2)], "numbers").shape == (2, 2)
    assert [is_tensor(v) for v in (ARRAY, ARRAY[0], 1.0, VALUES)] == [True, False, False, False]

"""Large arrays are moved to files without names, once; small ones stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.spill import Spill
from onnx_arbiter.values import Value

FLOAT32 = MODES["float32"]


def value(size: int) -> Value:
    return Value(
        np.arange(float(size)),
        np.dtype(np.float32),
        accumulated={"float32": np.full(size, 2, np.float32), "float16": None},
    )


def is_moved(values: Array | None) -> bool:
    return isinstance(values, np.memmap)


@pytest.mark.parametrize(
    ("least", "moved"), [(80, (True, False)), (81, (False, False)), (40, (True, True))]
)
def test_an_array_is_moved_from_the_stated_size_on(
    tmp_path: Path, least: int, moved: tuple[bool, bool]
) -> None:
    """Ten values of 80 bytes, their variances of 40."""
    before = value(10)
    after = Spill(tmp_path, least)("y", before)
    assert (is_moved(after.values), is_moved(after.accumulated["float32"])) == moved
    assert after.accumulated["float16"] is None
    assert after.values.dtype == np.float64
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(after.deviation(FLOAT32), before.deviation(FLOAT32))
    assert list(tmp_path.iterdir()) == []


def test_what_was_moved_stays_where_it_is(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1)
    once = spill("y", value(10))
    assert spill("z", once).values is once.values


def test_only_arrays_of_16_mib_are_moved_unless_another_size_is_stated(tmp_path: Path) -> None:
    for size, moved in (((1 << 21) - 1, False), (1 << 21, True)):
        zeros = Value(np.zeros(size), np.dtype(np.float32))
        assert is_moved(Spill(tmp_path)("y", zeros).values) == moved

"""Moves: values and variances go where ONNX Runtime moves values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.moves.arrangement import dropout
from onnx_arbiter.operators.moves.indices import gather
from onnx_arbiter.operators.operation import Unsupported
from parity_tests.support.moves import assert_moves
from parity_tests.support.operators import assert_predicted, measure, node_of


def numbers(*shape: int) -> Array:
    """Values that differ, in no order."""
    rng = np.random.default_rng(0)
    size = int(np.prod(shape))
    return rng.permutation(np.arange(1, size + 1, dtype=np.float32)).reshape(shape)


def ints(*values: int) -> Array:
    """A list of integers as an input."""
    return np.array(values, np.int64)


# operator, inputs, attributes, version of the operators, number of outputs
Case = tuple[str, list[Array | None], dict[str, Any], int, int]
X = numbers(2, 3, 4, 5)
CASES: dict[str, Case] = {
    "Identity": ("Identity", [X], {}, 21, 1),
    "Dropout": ("Dropout", [X], {}, 21, 2),
    "Dropout by ratio": ("Dropout", [X, np.array(0.3, np.float32)], {}, 13, 1),
    "Dropout by attribute": ("Dropout", [X], {"ratio": 0.3}, 7, 1),
    "Reshape, 0 and -1": ("Reshape", [X, ints(0, -1, 2)], {}, 21, 1),
    "Reshape, a size of 0": (
        "Reshape", [numbers(0, 4), ints(2, 0)], {"allowzero": 1}, 21, 1,
    ),
    "Flatten": ("Flatten", [X], {}, 21, 1),
    "Flatten from the back": ("Flatten", [X], {"axis": -1}, 21, 1),
    "Flatten to one row": ("Flatten", [X], {"axis": 0}, 21, 1),
    "Transpose": ("Transpose", [X], {"perm": (2, 0, 3, 1)}, 21, 1),
    "Transpose, reversed": ("Transpose", [X], {}, 21, 1),
    "Squeeze": ("Squeeze", [numbers(1, 3, 1, 2), ints(-2)], {}, 21, 1),
    "Squeeze everything": ("Squeeze", [numbers(1, 3, 1, 2)], {}, 21, 1),
    "Squeeze by attribute": ("Squeeze", [numbers(1, 3, 1, 2)], {"axes": (0,)}, 11, 1),
    "Unsqueeze": ("Unsqueeze", [numbers(2, 3), ints(-1, 1)], {}, 21, 1),
    "Unsqueeze by attribute": ("Unsqueeze", [numbers(2, 3)], {"axes": (0, 3)}, 11, 1),
    "Concat": ("Concat", [X, numbers(2, 1, 4, 5), numbers(2, 2, 4, 5)], {"axis": -3}, 21, 1),
    "Concat of one": ("Concat", [X], {"axis": 2}, 21, 1),
    "Split": ("Split", [X, ints(1, 3, 1)], {"axis": -1}, 21, 3),
    "Split, equal": ("Split", [X], {"axis": 2, "num_outputs": 2}, 21, 2),
    "Split, the last smaller": ("Split", [X], {"axis": 3, "num_outputs": 3}, 21, 3),
    "Split by attribute": ("Split", [X], {"axis": 1, "split": (2, 1)}, 11, 2),
    "Split, equal by outputs": ("Split", [X], {"axis": 2}, 13, 4),
    "Slice": ("Slice", [X, ints(1, -3), ints(9, -1), ints(1, -1)], {}, 21, 1),
    "Slice backwards": (
        "Slice",
        [X, ints(-1, 3), ints(-(1 << 62), 0), ints(3, 2), ints(-2, -1)],
        {}, 21, 1,
    ),
    "Slice of the first axes": ("Slice", [X, ints(1, 0), ints(2, 2)], {}, 21, 1),
    "Slice by attributes": (
        "Slice", [X], {"starts": (1, -4), "ends": (1000, -1), "axes": (1, 3)}, 9, 1,
    ),
    "Pad": ("Pad", [X, ints(0, 1, 2, 0, 1, 0, 0, 3), np.array(7, np.float32)], {}, 21, 1),
    "Pad, no constant": ("Pad", [X, ints(0, 1, 2, 0, 1, 0, 0, 3)], {}, 21, 1),
    "Pad and crop": ("Pad", [X, ints(0, -1, 2, 0, 1, 0, -2, 3)], {}, 21, 1),
    "Pad axes": ("Pad", [X, ints(1, 2, 3, 0), None, ints(-1, 1)], {}, 21, 1),
    "Pad, reflect": ("Pad", [X, ints(0, 1, 2, 0, 1, 0, 0, 3)], {"mode": "reflect"}, 21, 1),
    "Pad, edge": ("Pad", [X, ints(0, 1, 2, 0, 1, 0, 0, 3)], {"mode": "edge"}, 21, 1),
    "Pad, wrap": ("Pad", [X, ints(0, 1, 2, 0, 1, 0, 0, 3)], {"mode": "wrap"}, 21, 1),
    "Pad by attribute": ("Pad", [X], {"pads": (0, 1, 2, 0, 1, 0, 0, 3)}, 10, 1),
    "Expand": ("Expand", [numbers(3, 1, 5), ints(2, 1, 4, 1)], {}, 21, 1),
    "Tile": ("Tile", [numbers(2, 3), ints(2, 3)], {}, 21, 1),
    "DepthToSpace, DCR": ("DepthToSpace", [numbers(2, 12, 3, 4)], {"blocksize": 2}, 21, 1),
    "DepthToSpace, CRD": (
        "DepthToSpace", [numbers(2, 12, 3, 4)], {"blocksize": 2, "mode": "CRD"}, 21, 1,
    ),
    "SpaceToDepth": ("SpaceToDepth", [numbers(2, 3, 4, 6)], {"blocksize": 2}, 21, 1),
    "Trilu, upper": ("Trilu", [X, np.array(-1, np.int64)], {}, 21, 1),
    "Trilu, lower": ("Trilu", [X], {"upper": 0}, 21, 1),
    "Gather": ("Gather", [X, ints(2, -1, 0).reshape(3, 1)], {"axis": 2}, 21, 1),
    "Gather one": ("Gather", [X, np.array(1, np.int64)], {"axis": -1}, 21, 1),
    "GatherElements": (
        "GatherElements", [numbers(3, 4), ints(0, -1, 2, 1, 1, 0).reshape(2, 3)], {}, 21, 1,
    ),
    "GatherElements from the back": (
        "GatherElements", [numbers(3, 4), ints(0, -1, 2, 3).reshape(2, 2)], {"axis": -1}, 21, 1,
    ),
    "GatherND": ("GatherND", [X, ints(0, 1, 3, 1, -1, 0).reshape(2, 3)], {}, 21, 1),
    "GatherND of batches": (
        "GatherND", [X, ints(2, 1, 0, -1).reshape(2, 1, 2)], {"batch_dims": 1}, 21, 1,
    ),
    "ScatterElements": (
        "ScatterElements",
        [numbers(3, 4), ints(0, -1, 2, 3).reshape(2, 2), -numbers(2, 2)],
        {"axis": 1}, 21, 1,
    ),
    "Scatter": (
        "Scatter", [numbers(3, 4), ints(0, 1, 2, 0).reshape(2, 2), -numbers(2, 2)], {}, 10, 1,
    ),
    "ScatterND": (
        "ScatterND", [X, ints(0, 1, 1, -1).reshape(2, 2), -numbers(2, 4, 5)], {}, 21, 1,
    ),
    "ReverseSequence": ("ReverseSequence", [X, ints(1, 2, 0)], {}, 21, 1),
    "ReverseSequence, batch first": (
        "ReverseSequence", [X, ints(1, 3)], {"batch_axis": 0, "time_axis": 1}, 21, 1,
    ),
    "Compress": ("Compress", [X, np.array([True, False, True])], {"axis": 2}, 21, 1),
    "Compress of everything": ("Compress", [X, np.array([False, True, True])], {}, 21, 1),
    "OneHot": (
        "OneHot", [ints(1, -1, 7, 0), ints(4), np.array([5, 9], np.float32)], {}, 21, 1,
    ),
    "OneHot in front": (
        "OneHot",
        [ints(1, -1, 7, 0), ints(4), np.array([5, 9], np.float32)],
        {"axis": 0}, 21, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_variances_move_alike(name: str) -> None:
    operator, inputs, attributes, version, outputs = CASES[name]
    assert_moves(node_of(operator, inputs, outputs, version, **attributes), inputs)


def test_dropout_in_training_is_refused() -> None:
    inputs = [X, np.array(0.3, np.float32), np.array(True)]
    with pytest.raises(Unsupported, match="random"):
        dropout(node_of("Dropout", inputs), inputs)


def test_an_index_outside_is_refused() -> None:
    inputs = [X, ints(2)]
    with pytest.raises(Unsupported, match="outside"):
        gather(node_of("Gather", inputs), inputs)


def test_added_updates_add_their_variances() -> None:
    def draw(rng: np.random.Generator) -> list[Array]:
        return [
            rng.standard_normal((4, 6), np.float32),
            ints(1, 3, 1, 0, 1).reshape(5, 1),
            rng.standard_normal((5, 6), np.float32),
        ]

    node = node_of("ScatterND", draw(np.random.default_rng(0)), reduction="add")
    assert_predicted(measure(node, draw))

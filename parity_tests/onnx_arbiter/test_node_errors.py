"""What a mode that stores few bits rounds of a network's constants."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Constant, Graph, Input, Node
from onnx_arbiter.numeric_modes import MODES

# More than are looked at together.
SIZE = 200_000


@pytest.mark.parametrize("place", [0, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize(("value", "rounded"), [(1 / 3, True), (5.0, False)])
def test_a_constant_is_rounded_if_any_value_has_many_bits(
    place: int, value: float, rounded: bool
) -> None:
    factor = np.full(SIZE, 3, np.float32)
    factor[place] = value
    graph = Graph(
        (Node("scale", "Mul", ("x", "factor"), ("y",)),),
        {"x": Input(factor.dtype, (SIZE,))},
        ("y",),
        {"factor": Constant.of(factor)},
    )
    mode = MODES["bfloat16"]
    inputs = np.full(SIZE, 1.37, np.float32)
    [step] = walk(graph, {"x": inputs}, [mode])
    # What is rounded: the input, the stored output, and the constant or not. Every value is, for a
    # runtime stores a tensor in one type.
    variance = np.square(step.outputs["y"].deviation(mode) / step.outputs["y"].values)
    roundings = variance / (mode.stored**2 / 3)
    assert np.rint(roundings).tolist() == [2 + rounded] * SIZE

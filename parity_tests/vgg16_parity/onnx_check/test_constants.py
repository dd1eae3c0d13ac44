"""What a graph computes of constants is limited; what its file holds is not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vgg16_parity.onnx_check import constants
from vgg16_parity.onnx_check.constants import Constants
from vgg16_parity.onnx_check.symbolic import Constant, NodeContext, Untraceable

VALUES = np.arange(100, dtype=np.float32)
STORED = ir.node("Constant", [], {"value": ir.tensor(VALUES)})
OPSET = 21


def cast(kind: ir.DataType) -> NodeContext:
    node = ir.node("Cast", [ir.val("given")], {"to": int(kind)}, outputs=[ir.val("cast")])
    return NodeContext(node, [Constant(VALUES, "given")], OPSET)


def test_what_the_file_holds_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "_MOST_BYTES", VALUES.nbytes)
    known = Constants()
    for _ in range(3):
        np.testing.assert_array_equal(
            known.compute(NodeContext(STORED, [], OPSET)).array, VALUES, strict=True
        )
    assert known.compute(cast(ir.DataType.INT32)).array.dtype == np.int32


def test_what_is_computed_counts_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "_MOST_BYTES", 2 * VALUES.nbytes - 1)
    known = Constants()
    known.compute(cast(ir.DataType.INT32))
    with pytest.raises(Untraceable, match="is one of many constants"):
        known.compute(cast(ir.DataType.INT32))


def test_no_text_is_made() -> None:
    with pytest.raises(Untraceable, match="makes text"):
        Constants().compute(cast(ir.DataType.STRING))

"""What both exports agree on: their own names, the names at the graph's edge, the operators."""

from __future__ import annotations

from typing import Final, Literal

Framework = Literal["keras", "torch"]

INPUT: Final = "images"
OUTPUT: Final = "logits"
BATCH: Final = "batch"

# The newest that tf2onnx writes and the oldest that PyTorch's exporter writes without converting.
OPSET: Final = 18

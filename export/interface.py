"""What both exports agree on: the names at the graph's edge and the version of its operators."""

from __future__ import annotations

from typing import Final

INPUT: Final = "images"
OUTPUT: Final = "logits"
BATCH: Final = "batch"

# The newest that tf2onnx writes and the oldest that PyTorch's exporter writes without converting.
OPSET: Final = 18

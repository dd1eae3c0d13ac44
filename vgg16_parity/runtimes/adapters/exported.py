"""The exported file, and copies of it that output every layer or compute each layer alone."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from export.graph import naming
from export.graph.taps import layers_alone, with_taps
from export.load import open_model
from vgg16_parity.runtimes.process import Depth


def write_graph(path: Path, kind: Depth) -> Path:
    """The graph of an exported file that computes this much, written beside it.

    For the logits alone it is the file itself.
    """
    if kind == "logits":
        return path
    model = open_model(path)
    if kind == "taps":
        changed = with_taps(model, [str(value.name) for value in naming.taps(model)])
    else:
        changed = layers_alone(model)
    written = path.with_name(f"{kind}.onnx")
    written.write_bytes(ir.to_proto(changed).SerializeToString())
    return written

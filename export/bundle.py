"""The export as a folder: the graph, and the weights that it points into."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from export.interface import Framework
from vgg16.atomic import whole_folder
from vgg16.checkpoint import Checkpoint, write_checkpoint
from vgg16.errors import BadInput
from vgg16.preprocessing import Layout

MODEL_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "weights.safetensors"


def export_onnx(
    framework: Framework,
    checkpoint: Checkpoint,
    out: str | os.PathLike[str],
    *,
    layout: Layout = "nchw",
) -> Path:
    """Export a checkpoint's network to ONNX as one of the frameworks computes it.

    The folder ``out`` then holds ``model.onnx``, the graph, and ``weights.safetensors``, the
    canonical checkpoint that it points into. It appears whole or not at all; an earlier export
    there is replaced.

    Parameters
    ----------
    framework: ``keras`` (on the TensorFlow backend) or ``torch``.
    checkpoint: with the classifier.
    out: the folder.
    layout: of the graph's input ``images``: ``nchw`` for (batch, 3, H, W), ``nhwc`` for
        (batch, H, W, 3); the batch is dynamic. The output ``logits`` is (batch, classes).

    Returns the path of ``model.onnx``.

    Raises ``BadInput`` for a checkpoint without its classifier, an ``out`` that is something else
    than an earlier export, or one that cannot be written.
    """
    out = Path(out)
    checkpoint.check_top()
    _check_replaceable(out)

    import onnx
    import onnx_ir as ir

    from export import from_keras, from_torch, link

    tracer = {"keras": from_keras, "torch": from_torch}[framework]
    model = tracer.trace(checkpoint.configuration, layout=layout)
    with whole_folder(out) as folder:
        weights = _place_weights(checkpoint, folder / WEIGHTS_FILE)
        link.link_weights(model, weights, WEIGHTS_FILE)
        link.name_by_position(model, checkpoint)
        link.clean(model, checkpoint)
        (folder / MODEL_FILE).write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
        onnx.checker.check_model(folder / MODEL_FILE, full_check=True)
    return out / MODEL_FILE


def _check_replaceable(out: Path) -> None:
    if not out.exists():
        return
    expected = "a new folder, an empty one or an earlier export"
    if not out.is_dir():
        raise BadInput(out, "is a file", expected)
    if other := sorted({path.name for path in out.iterdir()} - {MODEL_FILE, WEIGHTS_FILE}):
        raise BadInput(out, f"holds {other[0]}", expected)


def _place_weights(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """The checkpoint as a file at ``path``: a copy, since ONNX's checker refuses links."""
    if checkpoint.path is None:
        return write_checkpoint(checkpoint, path)
    shutil.copyfile(checkpoint.path, path)
    return checkpoint

"""Opens ONNX graphs as weights."""

from __future__ import annotations

from pathlib import Path

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights.onnx_files import begins_a_model

_NEEDED = ("onnx", "onnx_ir")


def is_onnx(path: Path) -> bool:
    """Whether a file is an ONNX graph, by its content."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return begins_a_model(file.read(3))


def onnx_weights(path: Path, *, include_top: bool = True) -> Checkpoint:
    """The weights of an ONNX graph that is a VGG.

    Raises ``BadInput`` for any other graph, and where the packages that read one are missing.
    """
    from vgg16_parity.runtimes.registry import Requirement
    from vgg16_parity.shadowing import require_own_export

    if missing := Requirement(_NEEDED, ("torch",)).missing():
        raise BadInput(path, missing)
    require_own_export()
    from vgg16_parity.onnx_check.source import checkpoint_of_onnx

    return checkpoint_of_onnx(path, include_top=include_top)

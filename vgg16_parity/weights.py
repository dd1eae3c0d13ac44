"""Opens ONNX graphs as weights."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights.contents import Choices
from vgg16_weights.onnx_files import begins_a_model
from vgg16_weights.open import open_chosen

_NEEDED: Final = ("onnx", "onnx_ir")


def open_file(path: str | Path, choices: Choices) -> Checkpoint:
    """The checkpoint in a file of any format, or in an ONNX graph, told by its content.

    Raises ``BadInput`` for one that cannot be used.
    """
    if _is_onnx(Path(path)):
        return _onnx_weights(Path(path), include_top=choices.include_top)
    return open_chosen(path, choices)


def _is_onnx(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return begins_a_model(file.read(3))


def _onnx_weights(path: Path, *, include_top: bool) -> Checkpoint:
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

"""Which of a checkpoint's tensors a model takes, and how a refusal names the way."""

from __future__ import annotations

from collections.abc import Mapping

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint.checkpoint import Checkpoint
from vgg16_spec.checkpoint.shapes import misfits
from vgg16_spec.errors import BadInput

_HEAD = "predictions."


def fitting(
    checkpoint: Checkpoint, expected: Mapping[str, Shape], model: str, *, drop_head: bool
) -> list[str]:
    """The names of the tensors to load into a model whose parameters have the ``expected`` shapes.

    These are all that the model has; with ``drop_head`` all but ``predictions``, which it keeps,
    with any number of classes. Errors call it ``model``.

    Raises ``BadInput`` that lists every tensor that the other side lacks or has in another shape.
    Where the head alone does not fit, or the model has no classifier, it says what to ask for.
    """
    found = checkpoint.configuration.weight_shapes
    if drop_head:
        expected, found = _without_head(expected), _without_head(found)
    if problems := misfits(expected, found):
        if expected and not misfits(_without_head(expected), _without_head(found)):
            model += ", or drop_head=True to keep the model's own predictions"
        elif not misfits(expected, {n: s for n, s in found.items() if n in expected}):
            model += ", or checkpoint.without_top() for a model with include_top=False"
        raise BadInput(checkpoint.label, "; ".join(problems), model)
    return list(expected)


def _without_head(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: shape for name, shape in shapes.items() if not name.startswith(_HEAD)}

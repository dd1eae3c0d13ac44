"""A dense layer's weight is (out, in) in PyTorch and (in, out) in Keras."""

from __future__ import annotations

from typing import Any

from differences.harness import tiny
from differences.harness.experiment import Finding
from vgg16_spec.architecture import Dense, configuration

TITLE = "Dense layout"
RULE = (
    "Transpose every dense weight from (out, in) to (in, out), fc2's above all: it is square, "
    "so a forgotten transpose raises no error."
)


def run() -> Finding:
    """Give each dense layer of ``tiny`` in Keras the weight in PyTorch's layout."""
    model = tiny.keras_model()
    right = tiny.keras_deviations(model)
    taken = [name for name in ("fc1", "fc2", "predictions") if _takes_as_it_is(model, name)]
    forgotten = tiny.keras_deviations(model)
    square = [
        layer
        for layer in configuration("D").layers
        if isinstance(layer, Dense) and layer.in_features == layer.out_features
    ]
    hidden = sum(layer.in_features * layer.out_features for layer in square)
    return Finding(
        {
            "dense layers that accept the untransposed weight": (len(taken), "of 3"),
            "error of the logits, every weight transposed": (right, tiny.UNIT),
            "error of the logits, fc2 not transposed": (forgotten, tiny.UNIT),
            "VGG16's weights in square dense layers": hidden,
        },
        {
            "fc1 and predictions refuse the untransposed weight; fc2 accepts it.": taken == ["fc2"],
            "Transposed, the weights give the arbiter's logits up to rounding.": (
                right <= tiny.LIMIT
            ),
            "With fc2 alone untransposed, the logits are off by more than a thousand times the "
            "limit.": forgotten > tiny.FAR,
            "In VGG16 too, fc2 is the only square dense layer.": (
                [layer.name for layer in square] == ["fc2"]
            ),
        },
    )


def _takes_as_it_is(model: Any, name: str) -> bool:
    try:
        model.get_layer(name).kernel.assign(tiny.checkpoint()[f"{name}.weight"])
    except ValueError:
        return False
    return True

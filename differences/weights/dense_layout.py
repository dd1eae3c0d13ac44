"""A dense layer's weight is (out, in) in PyTorch and (in, out) in Keras."""

from __future__ import annotations

from typing import Any

from differences.harness import tiny
from differences.harness.experiment import Claim, Figure, Finding
from vgg16_spec.architecture import Dense, configuration

TITLE = "Dense layout"
RULE = (
    "Transpose every dense weight, (out, in) to (in, out), the square one above all: fc2's shape "
    "cannot refuse the weight that was forgotten."
)


def run() -> Finding:
    """Give each dense layer of ``tiny`` in Keras the weight as PyTorch keeps it."""
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
        (
            Figure("dense layers that take the weight as it is", len(taken), "of 3"),
            Figure("logits, every weight transposed", right, tiny.UNIT),
            Figure("logits, fc2 not transposed", forgotten, tiny.UNIT),
            Figure("VGG16's weights that no shape protects", hidden),
        ),
        (
            Claim(
                "fc1 and predictions refuse the weight as it is; fc2 takes it.", taken == ["fc2"]
            ),
            Claim(
                "Transposed, the weights give the arbiter's logits up to rounding.",
                right <= tiny.LIMIT,
            ),
            Claim(
                "With fc2 alone forgotten, the logits are more than a thousand times beyond the "
                "limit.",
                forgotten > tiny.FAR,
            ),
            Claim(
                "In VGG16 too, fc2 is the one dense layer that is square.",
                [layer.name for layer in square] == ["fc2"],
            ),
        ),
    )


def _takes_as_it_is(model: Any, name: str) -> bool:
    try:
        model.get_layer(name).kernel.assign(tiny.checkpoint()[f"{name}.weight"])
    except ValueError:
        return False
    return True

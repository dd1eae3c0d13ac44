"""The table of rules: operator -> how it is evaluated and how errors pass through it."""

from __future__ import annotations

from typing import Final

from onnx_arbiter.graph import Node
from onnx_arbiter.operators import (
    activations,
    batch_normalisation,
    casts,
    comparisons,
    convolution,
    elementwise,
    functions,
    grid_sample,
    indices,
    integers,
    maxima,
    moves,
    normalisation,
    norms,
    perturbation,
    pools,
    reductions,
    resize,
    shapes,
    softmax,
    steps,
    sums,
)
from onnx_arbiter.operators.inline import fallback_of
from onnx_arbiter.operators.operation import Rule

RULES: Final[dict[str, Rule]] = {
    **sums.RULES,
    **convolution.RULES,
    **integers.RULES,
    **elementwise.RULES,
    **activations.RULES,
    **functions.RULES,
    **comparisons.RULES,
    **steps.RULES,
    **casts.RULES,
    **moves.RULES,
    **indices.RULES,
    **shapes.RULES,
    **reductions.RULES,
    **norms.RULES,
    **maxima.RULES,
    **pools.RULES,
    **resize.RULES,
    **grid_sample.RULES,
    **batch_normalisation.RULES,
    **normalisation.RULES,
    **softmax.RULES,
    **perturbation.RULES,
}


def rule_of(node: Node) -> Rule | None:
    """The rule for a node; None if there is none, as for every other domain than ONNX's own.

    An operator without a rule of its own is evaluated by the body that ONNX defines it by, or else
    by ONNX's reference.
    """
    if node.domain not in ("", "ai.onnx"):
        return None
    return RULES.get(node.operator) or fallback_of(node, rule_of)

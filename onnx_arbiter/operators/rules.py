"""The table of rules: operator -> how it is evaluated and how errors pass through it."""

from __future__ import annotations

from typing import Final

from onnx_arbiter.graph import Node
from onnx_arbiter.operators.elementwise import (
    activations,
    arithmetic,
    casts,
    comparisons,
    functions,
    steps,
)
from onnx_arbiter.operators.fallbacks import perturbation
from onnx_arbiter.operators.fallbacks.inline import fallback_of
from onnx_arbiter.operators.interpolation import grid_sample, resize
from onnx_arbiter.operators.moves import arrangement, indices, shapes
from onnx_arbiter.operators.normalisation import batch, softmax, statistics
from onnx_arbiter.operators.operation import Rule
from onnx_arbiter.operators.reductions import maxima, norms, pools, totals
from onnx_arbiter.operators.sums import convolution, integers, products

RULES: Final[dict[str, Rule]] = {
    **products.RULES,
    **convolution.RULES,
    **integers.RULES,
    **arithmetic.RULES,
    **activations.RULES,
    **functions.RULES,
    **comparisons.RULES,
    **steps.RULES,
    **casts.RULES,
    **arrangement.RULES,
    **indices.RULES,
    **shapes.RULES,
    **totals.RULES,
    **norms.RULES,
    **maxima.RULES,
    **pools.RULES,
    **resize.RULES,
    **grid_sample.RULES,
    **batch.RULES,
    **statistics.RULES,
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

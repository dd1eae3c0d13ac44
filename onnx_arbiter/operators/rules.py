"""The table of rules: operator -> how it is evaluated and how errors pass through it."""

from __future__ import annotations

from typing import Final

from onnx_arbiter.graph import Node
from onnx_arbiter.operators import (
    elementwise,
    grid_sample,
    indices,
    maxima,
    moves,
    normalisation,
    norms,
    pools,
    reductions,
    resize,
    shapes,
    sums,
)
from onnx_arbiter.operators.operation import Rule

RULES: Final[dict[str, Rule]] = {
    **sums.RULES,
    **elementwise.RULES,
    **moves.RULES,
    **indices.RULES,
    **shapes.RULES,
    **reductions.RULES,
    **norms.RULES,
    **maxima.RULES,
    **pools.RULES,
    **resize.RULES,
    **grid_sample.RULES,
    **normalisation.RULES,
}


def rule_of(node: Node) -> Rule | None:
    """The rule for a node; None if there is none, as for every other domain than ONNX's own."""
    return RULES.get(node.operator) if node.domain in ("", "ai.onnx") else None

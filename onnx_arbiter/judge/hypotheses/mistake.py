"""What a mistake is: a change of one node's outputs, and the words for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.operation import Unsupported
from onnx_arbiter.operators.rules import rule_of

Arrays: TypeAlias = "Sequence[Array | None]"
# What a node and its inputs would give with the mistake; None if it cannot be made there.
Change: TypeAlias = "Callable[[Node, Arrays], Sequence[Array] | None]"


@dataclass(frozen=True)
class Mistake:
    """One way in which a node of a port goes wrong.

    Attributes:
        noun, rest: the words: "as if its <noun> <rest>", "as if the <noun> of Conv conv1 <rest>".
            An empty noun makes it "as if it <rest>".
        change: what the node computes then.
        every: "as if <every>", for a port that makes it throughout; empty if none does.
        wider: the same for a port that makes it at nodes of several kinds, too.
        is_of_bits: whether it is that of operands with fewer bits.
    """

    noun: str
    rest: str
    change: Change
    every: str = ""
    wider: str = ""
    is_of_bits: bool = False

    @property
    def throughout(self) -> tuple[str, ...]:
        """The words for making it at every node, of this kind and of several."""
        return tuple(words for words in (self.every, self.wider) if words)

    def words(self, node: Node | None = None) -> str:
        """The cause in words, of the node that is named anyway or of another one."""
        if node is None:
            return f"as if its {self.noun} {self.rest}" if self.noun else f"as if it {self.rest}"
        name = f"{node.operator} {node.name}"
        return f"as if the {self.noun} of {name} {self.rest}" if self.noun else (
            f"as if {name} {self.rest}"
        )  # fmt: skip


# Finds the mistakes that can be made at a node.
Finder: TypeAlias = "Callable[[Node, Arrays], Iterator[Mistake]]"


def outputs_of(node: Node, inputs: Arrays) -> Sequence[Array]:
    """What a node computes in float64.

    Raises ``Unsupported`` where no rule can evaluate it.
    """
    rule = rule_of(node)
    if rule is None:
        raise Unsupported(f"{node.operator} has no rule")
    with np.errstate(all="ignore"):
        return rule(node, inputs).outputs


def with_attributes(**attributes: Any) -> Change:
    """The node with other attributes; None removes one."""

    def change(node: Node, inputs: Arrays) -> Sequence[Array]:
        stated = {**node.attributes, **attributes}
        kept = {name: value for name, value in stated.items() if value is not None}
        return outputs_of(replace(node, attributes=kept), inputs)

    return change


def as_operator(operator: str, **attributes: Any) -> Change:
    """Another operator that reads the same inputs, with these attributes only."""

    def change(node: Node, inputs: Arrays) -> Sequence[Array]:
        return outputs_of(replace(node, operator=operator, attributes=attributes), inputs)

    return change


def with_input(index: int, make: Callable[[Array], Array | None]) -> Change:
    """The node with one input changed; None leaves it out."""

    def change(node: Node, inputs: Arrays) -> Sequence[Array] | None:
        if index >= len(inputs) or (values := inputs[index]) is None:
            return None
        changed = list(inputs)
        changed[index] = make(values)
        return outputs_of(node, changed)

    return change


def computed(make: Callable[[Array], Array]) -> Change:
    """A function of the first input in the node's place."""

    def change(node: Node, inputs: Arrays) -> Sequence[Array] | None:
        del node
        first = inputs[0] if inputs else None
        return None if first is None else [make(first.astype(np.float64))]

    return change

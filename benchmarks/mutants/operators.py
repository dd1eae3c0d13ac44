"""The changes that are made: a choice of cosmic-ray's operators, and some that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Protocol

from cosmic_ray.operators.provider import OperatorProvider
from parso.python.tree import Keyword, Number, PythonNode, String

Position = tuple[tuple[int, int], tuple[int, int]]


class Operator(Protocol):
    """What cosmic-ray asks of an operator; ``node`` is one of parso's syntax tree."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Start and end, (line, column), of each change of the node."""

    def mutate(self, node: Any, index: int) -> Any:
        """The node with the change of that index."""


class ChangeNumber:
    """An integer one more and one less; any other number ten times larger and smaller.

    Cosmic-ray adds 1 to 0.01 as to 1,000: a limit that is a little off is no mistake.
    """

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if isinstance(node, Number) and self._changed(node.value):
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node: Any, index: int) -> Any:
        return Number(self._changed(node.value)[index], node.start_pos, prefix=node.prefix)

    @staticmethod
    def _changed(text: str) -> list[str]:
        if re.fullmatch(r"0[xX][\da-fA-F_]+|[\d_]+", text):
            return [str(int(text, 0) + 1), f"({int(text, 0) - 1})"]
        if "j" in text.lower():
            return []
        value = float(text)
        return [repr(value * 10), repr(value / 10)] if value else ["1.0", "(-1.0)"]


class ChangeWord:
    """A text without spaces, such as a name in a table, gets a letter more.

    Sentences stay: their wording is for readers.
    """

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if isinstance(node, String) and self._parts(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        start, text, end = self._parts(node)
        return String(f"{start}{text}X{end}", node.start_pos, prefix=node.prefix)

    @staticmethod
    def _parts(node: Any) -> tuple[str, ...]:
        if node.parent is None or node.parent.type == "strings":
            return ()
        found = re.fullmatch(r"""([rb]{0,2}["'])([^\s"'\\]+)(["'])""", node.value)
        return found.groups() if found else ()


class SwapName:
    """The least for the largest, one for all, membership for its opposite."""

    NAMES: Final = {
        "min": "max",
        "max": "min",
        "minimum": "maximum",
        "maximum": "minimum",
        "any": "all",
        "all": "any",
    }

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if self._swapped(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return type(node)(self._swapped(node), node.start_pos, prefix=node.prefix)

    def _swapped(self, node: Any) -> str | None:
        if node.type == "keyword" and node.value == "in" and node.parent.type == "comparison":
            return "not in"
        if node.type != "name":
            return None
        following = node.get_next_leaf()
        return self.NAMES.get(node.value) if following and following.value == "(" else None


class Negate:
    """A condition becomes its opposite, unless an operator of cosmic-ray's does so already."""

    _made: Final = OperatorProvider()["AddNot"]()

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for start, end in self._made.mutation_positions(node):
            condition = next(child for child in node.children if child.start_pos == start)
            of_others = condition.type == "not_test" or (
                condition.type == "comparison"
                and condition.children[1].get_code().split() != ["not", "in"]
            )
            if not of_others:
                yield start, end

    def mutate(self, node: Any, index: int) -> Any:
        return self._made.mutate(node, index)


class DropStatement:
    """A call, a ``raise`` or an assignment to part of something is left out."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "simple_stmt" and self._does_something(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        dropped = node.children[0]
        prefix = dropped.get_first_leaf().prefix
        node.children[0] = Keyword("pass", dropped.start_pos, prefix=prefix)
        return node

    @staticmethod
    def _does_something(statement: Any) -> bool:
        if statement.type in ("atom_expr", "raise_stmt", "del_stmt", "yield_expr"):
            return True
        if statement.type != "expr_stmt":
            return False
        target, operator = statement.children[:2]
        augmented = operator.type == "operator" and operator.value != "="
        return bool(augmented or target.type == "atom_expr")


class DropArgument:
    """An argument that is passed by name is left out."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for child in self._named(node):
            yield child.start_pos, child.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        at = node.children.index(self._named(node)[index])
        # With it goes the comma before it, or after it if it is the first.
        start = at - 1 if node.type == "arglist" and at else at
        end = at + 2 if node.type == "arglist" and not at else at + 1
        del node.children[start:end]
        return node

    @staticmethod
    def _named(node: Any) -> list[Any]:
        if not isinstance(node, PythonNode) or node.type not in ("arglist", "trailer"):
            return []
        return [
            child
            for child in node.children
            if child.type == "argument" and getattr(child.children[1], "value", "") == "="
        ]


_OWN: Final = (ChangeNumber, ChangeWord, SwapName, Negate, DropStatement, DropArgument)
_BINARY: Final = (
    "Add_Sub Sub_Add Mul_Div Div_Mul Mul_Add FloorDiv_Mul Mod_FloorDiv Pow_Mul LShift_RShift "
    "RShift_LShift BitOr_BitAnd BitAnd_BitOr BitXor_BitOr"
)
_COMPARISONS: Final = (
    "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
)
_OTHERS: Final = (
    "ReplaceUnaryOperator_USub_UAdd ReplaceUnaryOperator_Delete_Invert "
    "ReplaceUnaryOperator_Delete_Not ReplaceTrueWithFalse ReplaceFalseWithTrue "
    "ReplaceAndWithOr ReplaceOrWithAnd ReplaceBreakWithContinue ReplaceContinueWithBreak "
    "ExceptionReplacer RemoveDecorator ZeroIterationForLoop"
)


def operators() -> list[Operator]:
    """Each operator that changes the code: one of several that nearly every test tells apart."""
    known = OperatorProvider()
    names = [
        *(f"ReplaceBinaryOperator_{name}" for name in _BINARY.split()),
        *(f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS.split()),
        *_OTHERS.split(),
    ]
    return [*(known[name]() for name in names), *(own() for own in _OWN)]

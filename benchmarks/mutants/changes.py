"""The changes of a module: where each is, and the module's text with it."""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from benchmarks.mutants.operators import Operator, operators

MODULE: Final = "<module>"


class Key(NamedTuple):
    """What names a change, whatever lines are added above it.

    Attributes:
        file: the module, relative to the project's folder.
        where: qualified name of the function or class, or of the table of a module.
        was: the changed lines before, without indentation.
        now: the same lines after.
    """

    file: str
    where: str
    was: str
    now: str


@dataclass(frozen=True)
class Change:
    """One change of one module.

    Attributes:
        key: its name.
        row: number of its line.
        lines: numbers of the lines of the innermost statement that it is in.
        source: the module's whole text with the change.
    """

    key: Key
    row: int
    lines: range
    source: str


def changes(root: Path, modules: Iterable[Path], seed: int) -> Iterator[Change]:
    """Every change of the modules that alters what they do, in an order that the seed fixes."""
    made = operators()
    texts = {module: (root / module).read_text(encoding="utf-8") for module in modules}
    found: list[tuple[Path, Operator, int, int]] = []
    for module, text in texts.items():
        nodes = list(ast_nodes(get_ast(text)))
        for operator in made:
            rows = [start[0] for node in nodes for start, _ in operator.mutation_positions(node)]
            found.extend((module, operator, nth, row) for nth, row in enumerate(rows))
    random.Random(seed).shuffle(found)  # noqa: S311
    seen = {_meaning(text) for text in texts.values()}
    for module, operator, nth, row in found:
        before = texts[module]
        after: str = mutate_code(before, operator, nth)
        meaning = _meaning(after)
        if meaning and meaning not in seen:
            seen.add(meaning)
            where, lines = _place(ast.parse(before), row)
            key = Key(str(module), where, *_difference(before, after))
            yield Change(key, row, lines, after)


def _meaning(source: str) -> str:
    """What a text does; empty if it is not Python."""
    try:
        return ast.dump(_WithoutRemarks().visit(ast.parse(source)))
    except SyntaxError:
        return ""


class _WithoutRemarks(ast.NodeTransformer):
    """Leave out what does nothing while a program without mistakes runs.

    Annotations, docstrings, what only type checkers read, what a protocol asks for, ``__all__``,
    which parameters have to be passed by name, the arguments of ``dataclass`` that forbid misuse,
    ``strict`` of ``zip``, which the linter insists on, and which negative number stands for the
    rest in a ``reshape``.
    """

    _GUARDS: Final = {"dataclass": ("frozen", "slots", "kw_only"), "zip": ("strict",)}

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        guards = self._GUARDS.get(name, ())
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in guards]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
            # NumPy takes any negative size for the one that is left.
            node.args = [
                ast.UnaryOp(ast.USub(), ast.Constant(1)) if ast.unparse(size) == "-2" else size
                for size in node.args
            ]
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any(ast.unparse(base) == "Protocol" for base in node.bases):
            node.body = [ast.Pass()]
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if ast.unparse(node.targets[0]) == "__all__" else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Name("Any")
        return self.generic_visit(node)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults = [*node.defaults, *(each for each in node.kw_defaults if each)]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def _place(tree: ast.AST, row: int) -> tuple[str, range]:
    """The qualified name of the innermost definition around a line, and its statement's lines."""
    names: list[str] = []
    node: Any = tree
    lines = range(row, row + 1)
    while inner := next((each for each in _statements(node) if row in _lines(each)), None):
        node = inner
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not names:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            names.append(ast.unparse(target))
        body = next(_statements(node), None)
        lines = _lines(node) if body is None else range(_lines(node).start, _lines(body).start)
    return ".".join(names) or MODULE, lines if row in lines else range(row, row + 1)


def _statements(node: Any) -> Iterator[Any]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from child.body


def _lines(node: Any) -> range:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return range(first, node.end_lineno + 1)


def _difference(before: str, after: str) -> tuple[str, str]:
    changed = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    was, now = (
        " ".join(" ".join(line[1:] for line in changed if line.startswith(sign)).split())
        for sign in "-+"
    )
    return was, now

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

from benchmarks.mutants.changes import MODULE, Change, changes


def made(folder: Path, source: str, seed: int = 0) -> list[Change]:
    (folder / "toy.py").write_text(source)
    return list(changes(folder, [Path("toy.py")], seed))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 7", {"x = 8", "x = (6)"}),
        ("x = 0x10", {"x = 17", "x = (15)"}),
        ("x = 20.0", {"x = 200.0", "x = 2.0"}),
        ("x = 0.0", {"x = 1.0", "x = (-1.0)"}),
        ("x = y < z", {"x = y <= z", "x = y >= z"}),
        ("x = y in z", {"x = y not in z"}),
        ("x = y - z", {"x = y + z"}),
        ("x = max(y)", {"x = min(y)"}),
        ("x = y.all()", {"x = y.any()"}),
        ("x = y and z", {"x = y or z"}),
        ("x = True", {"x = False"}),
        ("x = {'fc1': y}", {"x = {'fc1X': y}"}),
        ("x = b'PK'", {"x = b'PKX'"}),
        ("x = f(y, least=z)", {"x = f(y)"}),
        ("x = f(least=y, most=z)", {"x = f( most=z)", "x = f(least=y)"}),
        ("x = f(least=y)", {"x = f()"}),
        ("f(y)", {"pass"}),
        ("x += y", {"pass"}),
        ("x[y] = z", {"pass"}),
        ("raise x", {"pass"}),
    ],
)
def test_the_kinds_of_change(tmp_path: Path, source: str, expected: set[str]) -> None:
    found = {change.key.now for change in made(tmp_path, f"{source}\n")}
    assert found == expected


@pytest.mark.parametrize(
    "source",
    [
        "x: int | None = y",
        "def f(x: Literal[1]) -> Literal[2]: ...",
        "def f(x, *, y): ...",
        "__all__ = ['x']",
        "'fc1'",
        "x = 'a sentence'",
        "x = 'a' 'b'",
        "if TYPE_CHECKING:\n    f(1)",
        "class A(Protocol):\n    @property\n    def x(self): ...",
        "for x in zip(y, z, strict=True): ...",
    ],
)
def test_what_does_nothing_is_not_changed(tmp_path: Path, source: str) -> None:
    found = {change.key.now for change in made(tmp_path, f"{source}\n")}
    assert found <= {"for x in []: ..."}


def test_the_size_that_is_left_has_no_other_number(tmp_path: Path) -> None:
    found = {change.key.now for change in made(tmp_path, "x = y.reshape(2, -1)\n")}
    assert found == {"x = y.reshape(3, -1)", "x = y.reshape((1), -1)", "x = y.reshape(2, +1)"} | {
        "x = y.reshape(2, -(0))"
    }


def test_properties_of_other_classes_are_changed(tmp_path: Path) -> None:
    found = made(tmp_path, "class A(B):\n    @property\n    def x(self): ...\n")
    assert {change.key.was for change in found} == {"@property"}


def test_arguments_of_a_dataclass_that_forbid_misuse_stay(tmp_path: Path) -> None:
    found = made(tmp_path, "@dataclass(frozen=True, slots=True, order=x)\nclass A:\n    y: int\n")
    assert {change.key.now for change in found} == {"", "@dataclass(frozen=True, slots=True)"}


def test_a_change_is_named_by_its_definition_whatever_stands_above(tmp_path: Path) -> None:
    source = (
        "LIMITS = {\n    'ratio': 1.5,\n}\n"
        "class A:\n    def f(self, x):\n        if x:\n            return [\n x - y]\n"
    )
    before = made(tmp_path, source)
    after = made(tmp_path, f"import os\n\n\n{source}")
    assert {change.key for change in before} == {change.key for change in after}
    where = {(change.key.was, change.key.where) for change in before}
    assert {("'ratio': 1.5,", "LIMITS"), ("x - y]", "A.f"), ("if x:", "A.f")} <= where
    lines = {change.key.now: (change.row, list(change.lines)) for change in before}
    assert lines["x + y]"] == (8, [7, 8])
    assert lines["if not x:"] == (6, [6])
    assert lines["'ratio': 15.0,"] == (2, [1, 2, 3])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x == y", "x != y"),
        ("x is y", "x is not y"),
        ("x is not y", "x is y"),
        ("x in y", "x not in y"),
        ("x not in y", "not x not in y"),
        ("not x", "x"),
        ("x", "not x"),
    ],
)
def test_a_condition_is_negated_once(tmp_path: Path, condition: str, expected: str) -> None:
    found = made(tmp_path, f"if {condition}:\n    pass\n")
    assert [change.key.now for change in found] == [f"if {expected}:"]


def test_a_call_of_the_module_has_a_name(tmp_path: Path) -> None:
    assert [change.key.where for change in made(tmp_path, "f()\n")] == [MODULE]


def test_the_seed_fixes_the_order(tmp_path: Path) -> None:
    source = "".join(f"x{number} = {number}\n" for number in range(2, 40))
    once, again, other = (made(tmp_path, source, seed) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert {change.key for change in once} == {change.key for change in other}
    assert len(once) == 76

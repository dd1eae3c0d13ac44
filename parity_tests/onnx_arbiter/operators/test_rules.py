"""The operators that have rules of their own are those that the reference names, by module."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from onnx_arbiter.graph import Node
from onnx_arbiter.operators import rules

_PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "onnx_arbiter.md"
_ROW: Final = re.compile(r"\| [^|]+ \| `([a-z_.]+)` \| ([\w, ]+) \|")
STATED: Final = {
    module: operators.split(", ")
    for module, operators in _ROW.findall(_PAGE.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("module", STATED)
def test_a_familys_operators_are_those_of_the_reference(module: str) -> None:
    own = import_module(f"onnx_arbiter.operators.{module}").RULES
    assert sorted(own) == sorted(STATED[module])
    assert {name: rules.RULES[name] for name in own} == own


def test_every_rule_is_of_one_family() -> None:
    named = [operator for operators in STATED.values() for operator in operators]
    assert sorted(named) == sorted(rules.RULES)


@pytest.mark.parametrize(("domain", "known"), [("", True), ("ai.onnx", True), ("elsewhere", False)])
def test_only_onnxs_own_operators_have_rules(domain: str, known: bool) -> None:
    for operator in ("Relu", "Cosh"):
        rule = rules.rule_of(Node("n", operator, ("x",), ("y",), domain=domain, version=21))
        assert rule == (rules.RULES[operator] if known else None)

"""Each rewrite gives the nodes that it promises, the same values, and refuses what it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import onnx_ir as ir
import pytest
from onnxscript.rewriter import MatchResult, RewriteRuleClassBase, RewriteRuleSet

from export.graph import canonical, rewrites
from parity_tests.support.graphs import dense_rewrite_cases, rewrite_cases
from parity_tests.support.graphs.graphs import (
    MaxPool,
    expression,
    parsed,
    same_values,
    serialised,
    values,
)
from parity_tests.support.graphs.rewrite_cases import Refusal, Rewrite

REWRITES: Final = (*rewrite_cases.REWRITES, *dense_rewrite_cases.REWRITES)
REFUSALS: Final = (*rewrite_cases.REFUSALS, *dense_rewrite_cases.REFUSALS)


class Applied(NamedTuple):
    """What came of a rule: how often it was applied, and what its check objected to."""

    times: int
    objections: list[str]


def apply(rule: type[RewriteRuleClassBase], model: ir.Model) -> Applied:
    """Apply one rule wherever it fits, as canonicalisation does."""
    objections: list[str] = []

    class Recording(rule):  # type: ignore[misc, valid-type]
        def check(self, *arguments: Any, **named: Any) -> MatchResult:
            result: MatchResult = super().check(*arguments, **named)
            if not result:
                objections.append(result.reason)
            return result

    rules = RewriteRuleSet([Recording.rule()], commute=True)
    return Applied(rules.apply_to_model(model), objections)


@pytest.mark.parametrize("case", REWRITES, ids=str)
def test_a_rule_gives_the_nodes_that_it_promises(case: Rewrite) -> None:
    model = parsed(case.signature, case.body, **case.constants)
    assert apply(case.rule, model) == Applied(1, [])
    assert expression(model) == case.after


@pytest.mark.parametrize("case", REWRITES, ids=str)
def test_a_rule_gives_the_same_values(case: Rewrite) -> None:
    model = parsed(case.signature, case.body, **case.constants)
    pools = [MaxPool] if case.rule is rewrites.PoolOverTwoAxes else []
    before = values(model, *pools)
    apply(case.rule, model)
    assert same_values(values(model), before)


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_a_rule_refuses_with_its_reason_and_leaves_the_graph(case: Refusal) -> None:
    model = parsed(case.signature, case.body, **case.constants)
    before = serialised(model)
    applied = apply(case.rule, model)
    assert applied.times == 0
    assert serialised(model) == before
    # Without a reason it is the pattern that does not fit.
    assert set(applied.objections) == ({case.reason} if case.reason else set())


def test_every_rule_is_tested_and_used() -> None:
    rules = {
        rule
        for rule in vars(rewrites).values()
        if isinstance(rule, type)
        and issubclass(rule, RewriteRuleClassBase)
        and rule.__module__ == rewrites.__name__
        and rule is not rewrites.Rewrite
    }
    assert {case.rule for case in REWRITES} == rules
    assert {case.rule for case in REFUSALS} == rules
    used = Path(canonical.__file__).read_text(encoding="utf-8")
    assert [rule.__name__ for rule in rules if f"rewrites.{rule.__name__}.rule()" not in used] == []


def test_a_shape_joined_from_several_sizes_and_one_is_not_flattening() -> None:
    model = parsed(
        "(float[N,3,2,4] x) => (float y)",
        "n = Shape<start=0, end=1>(x) m = Concat<axis=0>(n, one) s = Concat<axis=0>(m, last) "
        "y = Reshape(x, s)",
        one=[1],
        last=[24],
    )
    before = values(model)  # (N, 1, 24)
    apply(rewrites.FlattenByName, model)
    assert same_values(values(model), before)

"""Compare what runtimes computed with the arbiter's values, in one walk through the graph.

Each value that a run has is compared with the arbiter's as it comes; where a run can compute single
nodes, each node is also given the arbiter's inputs, rounded, and judged alone, so that a mistake is
found in a node and not in what came before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from onnx_arbiter.evaluate import Keep, Progress, Step, walk
from onnx_arbiter.graph import Array, Graph, Node
from onnx_arbiter.independence import independent_errors
from onnx_arbiter.judge.compare_values import compare
from onnx_arbiter.judge.guilty import Suspicion
from onnx_arbiter.judge.records import Row
from onnx_arbiter.limits import Limits
from onnx_arbiter.numeric_modes import Mode, is_float
from onnx_arbiter.operators.operation import squares_of
from onnx_arbiter.operators.sums.convolution import is_by_algorithm
from onnx_arbiter.values import Value


class NodeRunner(Protocol):
    """Computes one node in a runtime."""

    def __call__(
        self,
        node: Node,
        inputs: Mapping[str, Array],
        constants: Mapping[str, Array],
        types: Mapping[str, np.dtype[np.generic]],
    ) -> Mapping[str, Array]:
        """The node's outputs by name.

        Args:
            node: the node.
            inputs: the values that it reads, of the graph's types.
            constants: those that are constants of the graph, or integers known beforehand.
            types: of its outputs.

        Raises:
            NotRunAlone: the runtime has no such node alone.
        """


class NotRunAlone(Exception):
    """A runtime cannot run a node alone; the message says why."""


class Alone(NamedTuple):
    """What a runtime computed for a node alone: the inputs that were no constants, the outputs."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass
class Observed:
    """What a runtime computed.

    Attributes:
        name: of the runtime, and how it ran.
        values: by name; those of no node of the graph are ignored.
        alone: computes single nodes; None if the runtime cannot.
        notes: what there is to say of it beforehand.
        mode: the numeric mode that it computed in; None for that of the comparison.
        rows: the verdicts of `walk_beside`.
        wrong_alone: value -> what it computed alone, of convolutions that are wrong so and that an
            algorithm may compute.
    """

    name: str
    values: Mapping[str, Array]
    alone: NodeRunner | None = None
    notes: tuple[str, ...] = ()
    mode: Mode | None = None
    rows: list[Row] = field(default_factory=list, init=False, repr=False)
    wrong_alone: dict[str, Alone] = field(default_factory=dict, init=False, repr=False)


@dataclass(frozen=True)
class Walked:
    """What a walk found.

    Attributes:
        suspicions: where each run goes wrong, in the order of what was observed.
        nodes: how many nodes were evaluated.
        not_judged: reason -> how many values could not be judged for it.
    """

    suspicions: tuple[Suspicion, ...]
    nodes: int
    not_judged: Mapping[str, int]


def walk_beside(
    graph: Graph,
    inputs: Mapping[str, Array],
    observed: Sequence[Observed],
    mode: Mode,
    limits: Limits,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Walked:
    """Walk through a graph and compare every value that was observed: ``rows`` gets the verdicts.

    The arguments are those of `judging.judge`.
    """
    alone = any(run.alone is not None for run in observed)
    wanted = None if alone else _given(graph, observed)
    not_judged = Counter[str]()
    modes = [run.mode or mode for run in observed]
    suspicions = tuple(
        Suspicion(run.name, mine, limits) for run, mine in zip(observed, modes, strict=True)
    )
    count = 0
    distinct = list({each.name: each for each in modes}.values())
    for step in walk(graph, inputs, distinct, wanted=wanted, progress=progress, keep=keep):
        count += 1
        if reason := step.reason(mode):
            not_judged[reason] += sum(1 for name in step.node.outputs if name)
        for run, suspicion, mine in zip(observed, suspicions, modes, strict=True):
            rows, computed = _rows(step, run, mine, limits)
            run.rows += rows
            suspicion.consider(step, rows, computed, run.values)
            fails = any(row.local is not None and not row.local.passed for row in rows)
            if fails and is_by_algorithm(step.node, graph):
                run.wrong_alone[step.node.outputs[0]] = Alone(_given_to(step), computed)
    return Walked(suspicions, count, dict(not_judged))


def _given(graph: Graph, observed: Sequence[Observed]) -> list[str]:
    return [name for name in graph.producers if any(name in run.values for run in observed)]


def _rows(
    step: Step, run: Observed, mode: Mode, limits: Limits
) -> tuple[list[Row], Mapping[str, Array]]:
    """A row for each output of a node that a run has, or that is judged alone; and these values."""
    node = step.node
    computed: Mapping[str, Array] = {}
    why, why_not = step.reason(mode), ""
    if run.alone is not None:
        computed, why_not = _run_alone(step, run.alone, why)
    rows = list[Row]()
    for name in node.outputs:
        if not name or not (name in run.values or computed or why_not):
            continue
        row = Row(name, node.name, node.operator, why=why, why_not_local=why_not)
        if name in step.outputs:
            value = step.outputs[name]
            row = replace(row, shape=value.values.shape)
            if name in run.values and not why:
                deviation = value.deviation(mode)
                count = value.independent.get(mode.name, np.inf)
                verdict = compare(run.values[name], value, deviation, count, limits)
                row = replace(row, accumulated=verdict)
            if name in computed:
                deviation = step.local_deviation(name, mode)
                count = _independent_inputs(step)
                verdict = compare(computed[name], value, deviation, count, limits)
                row = replace(row, local=verdict)
        rows.append(row)
    return rows, computed


def _independent_inputs(step: Step) -> float:
    """The number of independent roundings of what a node reads where it runs alone."""
    rounded = [
        value.values.reshape(-1)
        for value in step.inputs
        if value is not None and not value.exact and value.values.dtype.kind == "f"
    ]
    return min((independent_errors(x, squares_of(x)) for x in rounded), default=np.inf)


def _run_alone(step: Step, alone: NodeRunner, why: str) -> tuple[Mapping[str, Array], str]:
    """What a node alone computes, and why it does not."""
    if reason := why or step.why_not_alone:
        return {}, reason
    if all(v is None for errors in step.local.values() for v in errors.values()):
        return {}, ""  # shapes and constants, which are compared where they are accumulated
    constants = {
        name: value.values.astype(value.dtype, copy=False)
        for name, value in zip(step.node.inputs, step.inputs, strict=True)
        if value is not None and (value.is_constant or not is_float(value.dtype))
    }
    given = _given_to(step)
    types = {name: value.dtype for name, value in step.outputs.items()}
    try:
        return alone(step.node, given, constants, types), ""
    except NotRunAlone as error:
        return {}, str(error)


def _given_to(step: Step) -> dict[str, Array]:
    """The values that a node alone is given: the floats that it reads and that are no constants."""
    return {
        name: as_stored(value)
        for name, value in zip(step.node.inputs, step.inputs, strict=True)
        if value is not None and not value.is_constant and is_float(value.dtype)
    }


def as_stored(value: Value) -> Array:
    """A value in the graph's type, rounded if it is not exact."""
    with np.errstate(over="ignore"):
        return value.values.astype(value.dtype)

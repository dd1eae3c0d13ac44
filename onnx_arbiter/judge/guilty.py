"""The node where a run goes wrong, kept while the walk still has its inputs, and why it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Graph
from onnx_arbiter.judge.diagnosis import diagnose, diagnose_between
from onnx_arbiter.judge.records import Row
from onnx_arbiter.judge.search import Search
from onnx_arbiter.judge.symptom import Symptom
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.numeric_modes import Mode


@dataclass(frozen=True)
class Guilty:
    """The node where a run goes wrong.

    Attributes:
        run: the run's name.
        step: the node, with its inputs and outputs as the arbiter has them.
        row: the verdict.
        mode: the numeric mode that errors were predicted for.
        alone: what the runtime computed for the node alone, by name; empty if it did not.
        observed: what it computed for the node's outputs in the network, those that are known.
        limits: R and Z.
    """

    run: str
    step: Step
    row: Row
    mode: Mode
    alone: Mapping[str, Array]
    observed: Mapping[str, Array]
    limits: Limits = LIMITS

    @property
    def is_local(self) -> bool:
        """Whether the node is wrong alone."""
        return self.row.local is not None and not self.row.local.passed

    @property
    def symptom(self) -> Symptom:
        """What is wrong with the value."""
        name = self.row.value
        value = self.step.outputs[name]
        if self.is_local:
            deviation = self.step.local_deviation(name, self.mode)
            return Symptom(value, deviation, self.alone[name], self.limits)
        return Symptom(value, value.deviation(self.mode), self.observed[name], self.limits)


class Suspicion:
    """Finds where a run goes wrong: the first node that is wrong alone, else the first wrong value.

    Args:
        run: its name.
        mode: the numeric mode.
        limits: R and Z.
    """

    def __init__(self, run: str, mode: Mode, limits: Limits) -> None:
        self._run, self._mode, self._limits = run, mode, limits
        self.guilty: Guilty | None = None
        self.cause = ""

    def consider(
        self,
        step: Step,
        rows: Sequence[Row],
        alone: Mapping[str, Array],
        observed: Mapping[str, Array],
    ) -> None:
        """Consider the rows of a step."""
        for row in rows:
            if row.status != "broken":
                continue
            kept = {name: observed[name] for name in step.node.outputs if name in observed}
            guilty = Guilty(
                self._run, _without_errors(step), row, self._mode, alone, kept, self._limits
            )
            if self.guilty is None or (guilty.is_local and not self.guilty.is_local):
                self.guilty = guilty

    def explain(
        self, graph: Graph, given: Mapping[str, Array], search: Search, *, throughout: bool
    ) -> None:
        """Find the cause.

        Args:
            graph: the network.
            given: its inputs, and what the run has, by name.
            search: how long to look.
            throughout: whether to look for mistakes that are made at every node of a kind, too,
                where a value is wrong only after all nodes so far.
        """
        if self.guilty is None:
            return
        value, symptom = self.guilty.row.value, self.guilty.symptom
        if self.guilty.is_local:
            self.cause = diagnose(self.guilty.step, value, symptom, search)
        else:
            self.cause = diagnose_between(
                graph, given, value, symptom, search, throughout=throughout
            )


def _without_errors(step: Step) -> Step:
    """The step without its inputs' variances, which are as large as the inputs."""
    inputs = (v and replace(v, accumulated={}, common={}) for v in step.inputs)
    return replace(step, inputs=tuple(inputs))

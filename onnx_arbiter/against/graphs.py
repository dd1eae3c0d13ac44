"""How the values of one graph compare with those of another of the same network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from onnx_arbiter.against.matching import Shelf, Stored, arrangements
from onnx_arbiter.against.quantisation import clipped_share
from onnx_arbiter.compare import Verdict, refused
from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Graph, Node, read_by
from onnx_arbiter.judge.diagnosis import diagnose_between
from onnx_arbiter.judge.records import Row, Run
from onnx_arbiter.judge.search import Search
from onnx_arbiter.judge.symptom import Symptom
from onnx_arbiter.limits import Limits
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import Mode, is_float
from onnx_arbiter.values import Value

# A group of nodes that another file spells otherwise, such as an attention, has fewer than these.
_GROUP: Final = 15
_NO_MATCH: Final = "no value of the other file agrees with it, nor with any that follows"
_OTHER_MEANING: Final = "the name stands for another value in the other file; what follows agrees"


@dataclass(frozen=True)
class _Compared:
    """A value of the second graph, and what it is in the first.

    Attributes:
        node, name, value: what it is.
        partner: the first's value of the same name, or the output in the same place.
        verdict: the comparison with it.
        twin: the name of the first's value that it agrees with, of whatever name.
    """

    node: Node
    name: str
    shape: tuple[int, ...]
    partner: Stored | None
    verdict: Verdict | None
    twin: str

    @property
    def agrees(self) -> bool:
        return bool(self.twin)


class GraphComparison:
    """What a walk of a second graph finds.

    Args:
        graph: the first.
        other: the second.
        shelf: the first's values.
        mode: the numeric mode whose errors are allowed.
        limits: R and Z.
        partners: the second's outputs -> the first's.

    Attributes:
        not_judged: reason -> how many values could not be judged for it.
        of_outputs: what there is to say of each output, in words.
    """

    def __init__(
        self,
        graph: Graph,
        other: Graph,
        shelf: Shelf,
        mode: Mode,
        limits: Limits,
        partners: Mapping[str, str],
    ) -> None:
        self._graph, self._other, self._shelf = graph, other, shelf
        self._mode, self._limits, self._partners = mode, limits, partners
        self._compared = list[_Compared]()
        # The first value that differs from the first graph's of that name, and how.
        self._symptom: tuple[_Compared, Symptom] | None = None
        self._clipped = dict[str, float]()
        # What depends on no input is a weight, which another file may fold, split or quantise.
        self._computed = set(other.inputs)
        self._lost = dict[str, tuple[Node, str]]()
        self.not_judged = dict[str, int]()
        self.of_outputs = list[str]()

    def add(self, step: Step) -> None:
        """Compare the values of a step of the second walk."""
        if reason := step.reason(self._mode):
            made = [name for name in step.node.outputs if name]
            self.not_judged[reason] = self.not_judged.get(reason, 0) + len(made)
            self._lost.update(dict.fromkeys(made, (step.node, reason)))
            return
        if self._computed.isdisjoint(read_by(step.node)):
            return
        self._computed.update(step.node.outputs)
        if share := clipped_share(step):
            self._clipped.update(dict.fromkeys(step.outputs, share))
        for name, value in step.outputs.items():
            if not is_float(value.dtype) and name not in self._partners:
                continue
            partner = self._shelf.get(self._partners.get(name, name))
            verdict = None if partner is None else self._shelf.verdict(partner, value)
            twin = partner.name if partner is not None and verdict and verdict.passed else ""
            if not twin and name not in self._partners:
                match = self._shelf.search(value)
                twin = "" if match is None else match.name
            found = _Compared(step.node, name, value.values.shape, partner, verdict, twin)
            self._compared.append(found)
            if partner is not None and not twin and self._symptom is None:
                self._symptom = found, self._symptom_of(partner, value)
            if name in self._partners and partner is not None:
                self.of_outputs += _in_words(name, partner.value, value)

    def _symptom_of(self, partner: Stored, value: Value) -> Symptom:
        for arrange in arrangements(value.values.shape, partner.value.values.shape):
            deviation = np.hypot(partner.value.deviation(self._mode),
                                 arrange(value.deviation(self._mode)))  # fmt: skip
            return Symptom(partner.value, deviation, arrange(value.values), self._limits)
        return Symptom(
            partner.value, partner.value.deviation(self._mode), value.values, self._limits
        )

    def run(self, notes: Sequence[str], inputs: Mapping[str, Array]) -> Run:
        """The second graph's run: a row for each value that was compared."""
        follows = self._followed_by_agreement()
        rows, first = list[Row](), True
        for found in self._compared:
            row = self._row(found, followed=found.name in follows, first=first)
            if row is not None:
                rows.append(row)
                first = first and row.status != "broken"
        lost = self._lost_outputs()
        if len(lost) == len(self._partners):
            rows = []  # that the values before agree says nothing of the outputs
        rows += lost
        guilty = next((row for row in rows if row.status == "broken"), None)
        name = f"{printable(self._other.name)} against {printable(self._graph.name)}"
        if alone := sum(1 for found in self._compared if not found.agrees):
            match = "matches" if alone == 1 else "match"
            words = f"{alone} of {len(self._compared)} values {match} none of the other file's"
            notes = [*notes, words]
        return Run(name, tuple(rows), guilty, self._cause(guilty, inputs), tuple(notes))

    def _lost_outputs(self) -> list[Row]:
        """A row for each output that cannot be judged."""
        return [
            Row(
                name,
                self._lost[name][0].name,
                self._lost[name][0].operator,
                why=self._lost[name][1],
            )
            for name in self._partners
            if name in self._lost
        ]

    def _row(self, found: _Compared, *, followed: bool, first: bool) -> Row | None:
        node = found.node
        row = Row(found.name, node.name, node.operator, found.shape)
        is_output = found.name in self._partners
        if found.partner is None:
            if is_output:
                return replace(row, why="the other file's output cannot be judged")
            if found.agrees or followed or not first or found.name not in self._leading_astray():
                return replace(row, accumulated=_AGREES) if found.agrees else None
            return replace(row, accumulated=refused(_NO_MATCH))
        if found.verdict is not None and found.verdict.passed:
            return replace(row, accumulated=found.verdict)
        same = found.partner.operator == node.operator
        if not is_output and (found.agrees or (followed and not same)):
            return replace(row, why=_OTHER_MEANING)
        return replace(row, accumulated=found.verdict)

    def _followed_by_agreement(self) -> set[str]:
        """The second graph's values that soon lead to one that agrees: a part that is only spelt
        differently. Much later, an error may have become small.
        """
        agree = {found.name for found in self._compared if found.agrees}
        distance = dict[str, int]()
        for node in reversed(self._other.nodes):
            ends = [0 if name in agree else distance.get(name, _GROUP) for name in node.outputs]
            for name in read_by(node):
                distance[name] = min(distance.get(name, _GROUP), min(ends, default=_GROUP) + 1)
        return {name for name, nodes in distance.items() if nodes < _GROUP}

    def _leading_astray(self) -> set[str]:
        """The second graph's values from which an output is computed that is wrong."""
        wrong = [
            found.name
            for found in self._compared
            if found.name in self._partners and found.verdict and not found.verdict.passed
        ]
        return {name for node in self._other.needed_for(wrong) for name in node.outputs}

    def _cause(self, guilty: Row | None, inputs: Mapping[str, Array]) -> str:
        if guilty is None:
            return ""
        reads = {name for node in self._other.nodes if guilty.value in node.outputs
                 for name in read_by(node)}  # fmt: skip
        if shares := [self._clipped[name] for name in reads if name in self._clipped]:
            return f"whose range clips {max(shares):.2g} of the values"
        if self._symptom is None:
            return ""
        of_symptom, symptom = self._symptom
        target = of_symptom.partner
        is_guilty = of_symptom.name == guilty.value
        if target is None or not (
            is_guilty or of_symptom.name not in self._followed_by_agreement()
        ):
            return ""
        twins = {found.twin for found in self._compared if found.agrees}
        arrays = self._shelf.arrays()
        given = {**inputs, **{name: arrays[name] for name in twins}}
        return diagnose_between(self._graph, given, target.name, symptom, Search())


_AGREES: Final = Verdict(True, 0.0, 0.0, 0.0, 0.0, 0.0)


def _in_words(name: str, one: Value, other: Value) -> list[str]:
    """How far an output is from the first graph's, and whether the top class changes."""
    if one.values.dtype.kind != "f" or not one.values.size:
        return []
    for arrange in arrangements(other.values.shape, one.values.shape):
        first, second = one.values, arrange(other.values)
        rms = float(np.sqrt(np.square(first).mean()))
        off = float(np.sqrt(np.square(second - first).mean()))
        words = f"{printable(name)}: the difference is {off / rms if rms else off:.2g} of its rms"
        if first.ndim == 2 and first.shape[1] > 1:
            tops = int(np.count_nonzero(first.argmax(1) != second.argmax(1)))
            words += f"; the largest element changes in {tops} of {len(first)} rows"
        return [words]
    return []

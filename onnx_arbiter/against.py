"""Two graphs of one network against each other: before and after an optimiser, another exporter's,
fewer bits.

Both are walked in float64, so that they differ by what is different in the files, and never by how
a runtime rounds. A difference within what both may have as rounding errors is none: weights that
were folded in float32 are as far off. A quantised graph may also differ by its steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from onnx_arbiter.compare import Verdict, refused
from onnx_arbiter.diagnosis import diagnose_between
from onnx_arbiter.evaluate import Progress, Step, walk
from onnx_arbiter.graph import Array, Graph, Node, read_by
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.matching import Shelf, Stored, arrangements
from onnx_arbiter.memory import peak_memory
from onnx_arbiter.network import Network
from onnx_arbiter.numeric_modes import MODES, Mode
from onnx_arbiter.onnx_file import printable
from onnx_arbiter.quantisation import clipped_share, is_quantised, with_quantisation
from onnx_arbiter.records import Report, Row, Run
from onnx_arbiter.spill import Spill
from onnx_arbiter.symptom import Symptom
from onnx_arbiter.values import Value, is_float
from vgg16_spec.errors import BadInput, few

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


def compare_graphs(
    network: Network,
    other: Network,
    inputs: Mapping[str, Array],
    mode: Mode,
    folder: Path,
    *,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> Report:
    """Compare another graph of a network with it.

    Args:
        network: the network.
        other: another graph of it, whose inputs have the same names, or shapes in the same order.
        inputs: the network's, by name.
        mode: the numeric mode whose errors are allowed.
        folder: an empty one, for the first graph's values.
        limits: R and Z.
        progress: as for `walk`, of each walk.

    Raises:
        BadInput: the other graph has other inputs, or another number of outputs.
    """
    start = time.perf_counter()
    given, of_other = _shared_inputs(network.graph, other.graph, inputs)
    partners = _outputs(network.graph, other.graph)
    shelf, nodes = Shelf(folder, mode, limits), 0
    quantised = [graph.name for graph in (network.graph, other.graph) if is_quantised(graph)]
    for step in _steps(network.graph, given, mode, folder, progress):
        nodes += 1
        for name, value in {} if step.why else step.outputs.items():
            if value.values.dtype.kind == "f" or name in network.graph.outputs:
                shelf.add(name, step.node.operator, value)
    comparison = _Comparison(network.graph, other.graph, shelf, mode, limits, partners)
    for step in _steps(other.graph, of_other, mode, folder, progress):
        nodes += 1
        comparison.add(step)
    notes = [f"{printable(name)}: half a step of each quantised value is allowed"
             for name in quantised]  # fmt: skip
    run = comparison.run([*notes, *comparison.of_outputs], given)
    return Report(
        model=f"{network.graph.name}",
        mode=mode.name,
        inputs={name: values.shape for name, values in given.items()},
        runs=(run,),
        nodes=nodes,
        not_judged=comparison.not_judged,
        seconds=time.perf_counter() - start,
        peak_bytes=peak_memory(),
    )


def _steps(
    graph: Graph, inputs: Mapping[str, Array], mode: Mode, folder: Path, progress: Progress | None
) -> Iterator[Step]:
    """The walk, with the errors of quantised values."""
    spill, changed = Spill(folder), dict[str, Value]()
    mode = _mode_of(graph, mode)

    def keep(name: str, value: Value) -> Value:
        return spill(name, changed.pop(name, value))

    for step in walk(graph, inputs, [mode], progress=progress, keep=keep):
        found = with_quantisation(step, mode)
        changed.clear()
        changed.update(found.outputs)
        yield found


def _mode_of(graph: Graph, mode: Mode) -> Mode:
    """The mode, with what a graph that keeps weights in fewer bits has rounded in its file."""
    kept = {constant.dtype.name for constant in graph.constants.values()}
    for name in ("bfloat16", "float16"):
        if name in kept:
            narrow = MODES[name]
            return replace(
                mode,
                stored=max(mode.stored, narrow.stored),
                smallest=max(mode.smallest, narrow.smallest),
            )
    return mode


class _Comparison:
    """What the second walk finds."""

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
        self.not_judged = dict[str, int]()
        self.of_outputs = list[str]()

    def add(self, step: Step) -> None:
        """Compare the values of a step of the second walk."""
        if step.why:
            made = sum(1 for name in step.node.outputs if name)
            self.not_judged[step.why] = self.not_judged.get(step.why, 0) + made
            return
        if self._computed.isdisjoint(read_by(step.node)):
            return
        self._computed.update(step.node.outputs)
        if share := clipped_share(step):
            self._clipped.update(dict.fromkeys(step.outputs, share))
        for name, value in step.outputs.items():
            if value.values.dtype.kind != "f" and name not in self._partners:
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
        guilty = next((row for row in rows if row.status == "broken"), None)
        name = f"{printable(self._other.name)} against {printable(self._graph.name)}"
        return Run(name, tuple(rows), guilty, self._cause(guilty, inputs), tuple(notes))

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
        """The second graph's values from which one is computed that agrees."""
        agree = {found.name for found in self._compared if found.agrees}
        followed = set[str]()
        for node in reversed(self._other.nodes):
            if any(name in agree or name in followed for name in node.outputs):
                followed.update(read_by(node))
        return followed

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
        if target is None or of_symptom.name in self._followed_by_agreement():
            return ""
        twins = {found.twin for found in self._compared if found.agrees}
        arrays = self._shelf.arrays()
        given = {**inputs, **{name: arrays[name] for name in twins}}
        return diagnose_between(self._graph, given, target.name, symptom)


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


def _outputs(graph: Graph, other: Graph) -> dict[str, str]:
    """The second graph's outputs -> the first's: by name, else by order."""
    if len(graph.outputs) != len(other.outputs):
        problem = f"has {len(other.outputs)} outputs, {printable(graph.name)} {len(graph.outputs)}"
        raise BadInput(printable(other.name), problem, "two files of one network")
    if set(graph.outputs) == set(other.outputs):
        return {name: name for name in other.outputs}
    return dict(zip(other.outputs, graph.outputs, strict=True))


def _shared_inputs(
    graph: Graph, other: Graph, inputs: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Both graphs' inputs: equal values, which are numbers of the type with fewer bits."""
    by_name = set(graph.inputs) == set(other.inputs)
    if not by_name and len(graph.inputs) != len(other.inputs):
        problem = f"has the inputs {few(map(printable, other.inputs), 8)}"
        raise BadInput(printable(other.name), problem, few(map(printable, graph.inputs), 8))
    given, of_other = dict[str, Array](), dict[str, Array]()
    for name, partner in zip(graph.inputs, other.inputs, strict=True):
        theirs = name if by_name else partner
        declared = other.inputs[theirs]
        values = inputs[name]
        if is_float(declared.dtype) != is_float(values.dtype):
            problem = f"the input {printable(theirs)} is {declared.dtype}"
            raise BadInput(printable(other.name), problem, str(values.dtype))
        given[name] = values.astype(declared.dtype).astype(values.dtype)
        of_other[theirs] = _shaped(values.astype(declared.dtype), declared.shape, theirs, other)
    return given, of_other


def _shaped(
    values: Array, shape: Sequence[int | str | None] | None, name: str, graph: Graph
) -> Array:
    """Values in a declared shape, channels first or last."""

    def fits(sizes: tuple[int, ...]) -> bool:
        return shape is None or (
            len(shape) == len(sizes)
            and all(not isinstance(a, int) or a == s for a, s in zip(shape, sizes, strict=True))
        )

    turned = [np.moveaxis(values, 1, -1), np.moveaxis(values, -1, 1)] if values.ndim > 2 else []
    for candidate in (values, *turned):
        if fits(candidate.shape):
            return np.ascontiguousarray(candidate)
    stated = ", ".join("?" if axis is None else printable(str(axis)) for axis in shape or ())
    problem = f"the input {printable(name)} has the shape ({stated})"
    raise BadInput(printable(graph.name), problem, str(values.shape))

"""Judge a run by the algorithms that its errors show in its 3x3 convolutions.

A program need not say that it computes convolutions by Winograd's algorithm or by FFTs. Their
errors are larger than those of direct sums, and have patterns that those of mistakes lack
(``onnx_arbiter.algorithms.recognition``). The run is judged again by what they show, within the
same limits; if that explains all but some values, those are wrong.

Errors are taken from convolutions that ran alone. For the others, the arbiter computes a value that
the run gave from those that it gave before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.recognition import (
    POOREST,
    OwnErrors,
    assignments,
    by_algorithm,
    options_of,
)
from onnx_arbiter.algorithms.winograd import WINOGRAD
from onnx_arbiter.error_model import Float64
from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Graph, Input, Node, read_by
from onnx_arbiter.judge.guilty import Suspicion
from onnx_arbiter.judge.hypotheses.forward import between
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import Mode
from onnx_arbiter.operators.sums.convolution import is_by_algorithm
from onnx_arbiter.values import Value

NO_TILES: Final = (
    "convolutions by Winograd's algorithm may round so much: "
    "give values from within the network to tell that from a mistake"
)
# The axes of a value of images: (N, C, H, W).
_AXES: Final = 4


class Attempt(NamedTuple):
    """A run, its rows filled, and where it goes wrong."""

    run: Observed
    suspicion: Suspicion

    @property
    def failed(self) -> list[str]:
        """The values that are wrong, in order; of nodes that ran alone, those that are wrong so."""
        verdicts = ((row.value, row.local or row.accumulated) for row in self.run.rows)
        return [value for value, verdict in verdicts if verdict is not None and not verdict.passed]

    @property
    def broken(self) -> set[tuple[str, bool]]:
        """What is wrong: a value, and whether its node is so alone."""
        return {
            (row.value, alone)
            for row in self.run.rows
            for verdict, alone in ((row.accumulated, False), (row.local, True))
            if verdict is not None and not verdict.passed
        }

    @property
    def is_small(self) -> bool:
        """Whether the error where the run goes wrong may still be of rounding."""
        row = self.suspicion.guilty and self.suspicion.guilty.row
        verdicts = (row.accumulated, row.local) if row else ()
        return all(verdict is None or verdict.ratio < POOREST for verdict in verdicts)


def judge_by_algorithms(
    graph: Graph,
    inputs: Mapping[str, Array],
    judged: Attempt,
    mode: Mode,
    again: Callable[[Observed], Attempt],
) -> Attempt:
    """A run by the algorithms that explain it, with a note that names them.

    Args:
        graph: the network.
        inputs: its inputs by name.
        judged: the run by direct sums.
        mode: the numeric mode that it computed in.
        again: judges a run in another mode.

    Returns:
        The run as it was, if none explains any of what is wrong.
    """
    convolutions = [node for node in graph.nodes if is_by_algorithm(node, graph)]
    if not convolutions or mode.algorithm or not judged.broken or not judged.is_small:
        return judged
    shows = _shown_in(graph, inputs, judged.run, convolutions, mode)

    def by(algorithms: Mapping[str, Algorithm]) -> Attempt:
        used = {
            node.outputs[0]: algorithms[value].name
            for node in convolutions
            if (value := shows[node.outputs[0]].value) in algorithms
        }
        return again(_by(judged.run, mode, used, convolutions))

    errors = {shown.value: shown.errors for shown in shows.values()}
    tried, alone = [judged], any(row.local is not None for row in judged.run.rows)
    options = options_of(errors, lambda value: errors[value]())
    for algorithms in assignments(options, lambda _: tried[-1].failed, alone=alone):
        tried.append(by(algorithms))
        if not tried[-1].broken:
            return tried[-1]
    nearest = min(tried, key=lambda attempt: len(attempt.broken))
    if nearest.broken < judged.broken:
        return nearest
    if all(made() is None for made in errors.values()):
        rough = by(dict.fromkeys(errors, WINOGRAD[-1]))
        if not rough.broken:
            judged.run.notes += (NO_TILES,)
    return judged


def judge_as_others(
    graph: Graph,
    found: Sequence[Attempt],
    mode: Mode,
    again: Callable[[Observed], Attempt],
) -> list[Attempt]:
    """Runs of one program, those that are still broken by the algorithms that explain another.

    Logits show no tiles, but the same program may have been run with all its values. The arguments
    are those of `judge_by_algorithms`.
    """
    convolutions = [node for node in graph.nodes if is_by_algorithm(node, graph)]
    known = [
        each.run.mode.algorithms
        for each in found
        if each.run.mode is not None and each.run.mode.algorithms and not each.broken
    ]

    def judged(attempt: Attempt) -> Attempt:
        mine = attempt.run.mode or mode
        if not attempt.broken or mine.algorithm or mine.algorithms or not attempt.is_small:
            return attempt
        tried = (again(_by(attempt.run, mine, used, convolutions)) for used in known)
        return next((other for other in tried if not other.broken), attempt)

    return [judged(attempt) for attempt in found]


def _by(
    run: Observed, mode: Mode, used: Mapping[str, str], convolutions: Sequence[Node]
) -> Observed:
    """A run by algorithms, by the values that these compute, with a note that says so."""
    named = {_name(node): used.get(node.outputs[0], "") for node in convolutions}
    notes = tuple(note for note in run.notes if note != NO_TILES)
    said = by_algorithm(named, list(named))
    return replace(run, mode=replace(mode, algorithms=used), notes=(*notes, said))


def _name(node: Node) -> str:
    return printable(node.name or node.outputs[0])


class _Shown(NamedTuple):
    """The value in which a convolution's errors show, and what computes them, if it has tiles."""

    value: str
    errors: Callable[[], OwnErrors | None]


def _shown_in(
    graph: Graph,
    inputs: Mapping[str, Array],
    run: Observed,
    convolutions: Sequence[Node],
    mode: Mode,
) -> dict[str, _Shown]:
    """Convolution, by its output -> where it shows."""
    known = {node.outputs[0] for node in convolutions}
    found = dict[str, _Shown]()
    for value, (given, outputs) in run.wrong_alone.items():
        found[value] = _Shown(value, partial(_errors, graph, given, value, outputs[value], mode))
    given = {**inputs, **run.values}
    for node in graph.nodes:
        for value in node.outputs:
            if value not in run.values:
                continue
            inside = {each.outputs[0] for each in between(graph, given, value)} & known
            made = partial(_errors, graph, given, value, run.values[value], mode)
            for convolution in inside - found.keys():
                found[convolution] = _Shown(value, made)
    return {name: found.get(name, _Shown(name, lambda: None)) for name in known}


def _errors(
    graph: Graph, given: Mapping[str, Array], value: str, observed: Array, mode: Mode
) -> OwnErrors | None:
    """The errors of a value that was computed from given ones; None where it has no tiles."""
    if observed.ndim != _AXES or observed.dtype.kind != "f":
        return None
    nodes = between(graph, given, value)
    read = {name for node in nodes for name in read_by(node)}
    computed = {name for node in nodes for name in node.outputs}
    named = {name: given[name] for name in read - computed if name in given}
    part = Graph(
        nodes,
        {name: Input(values.dtype, values.shape) for name, values in named.items()},
        (value,),
        {name: graph.constants[name] for name in read if name in graph.constants},
    )
    found, tiled = _evaluated(part, named, mode)
    if found is None or not tiled or found.values.shape != observed.shape:
        return None
    # What a ReLU made zero shows no error.
    seen = (found.values != 0) & (observed != 0)
    errors = np.where(seen, observed - found.values, np.nan)
    return _Errors(errors, found.deviation(mode), part, named, mode)


@dataclass(frozen=True)
class _Errors(OwnErrors):
    """The errors of the only output of a part of the network, which was given these inputs."""

    part: Graph
    given: Mapping[str, Array]
    mode: Mode

    def deviation_of(self, algorithm: Algorithm) -> Float64:
        """The predicted standard deviation if an algorithm computes the part's convolutions."""
        mode = replace(self.mode, algorithm=algorithm.name)
        found, _ = _evaluated(self.part, self.given, mode)
        assert found is not None
        return found.deviation(mode)


def _evaluated(part: Graph, given: Mapping[str, Array], mode: Mode) -> tuple[Value | None, bool]:
    """The only output, and whether one of the part's convolutions has maps of its size."""
    [name], sizes = part.outputs, set[tuple[int, ...]]()
    for step in walk(part, given, [mode]):
        if step.why:
            break
        if is_by_algorithm(step.node, part):
            sizes.add(step.outputs[step.node.outputs[0]].values.shape[2:])
        if name in step.outputs:
            value = step.outputs[name]
            return value, value.values.shape[2:] in sizes
    return None, False

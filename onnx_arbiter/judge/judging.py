"""Judge what runtimes computed: verdicts on their values, where each goes wrong, and why.

Where a run is wrong by no more than an algorithm of its convolutions may round, and shows one, it
is judged by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from onnx_arbiter.evaluate import Keep, Progress
from onnx_arbiter.graph import Array, Graph
from onnx_arbiter.judge.algorithms import Attempt, judge_as_others, judge_by_algorithms
from onnx_arbiter.judge.guilty import Guilty
from onnx_arbiter.judge.records import Run
from onnx_arbiter.judge.run import Observed, walk_beside
from onnx_arbiter.judge.search import SECONDS, Search
from onnx_arbiter.limits import LIMITS, Limits
from onnx_arbiter.numeric_modes import Mode

CUT: Final = (
    f"no cause was found in {SECONDS:.0f} s, and not every known mistake was tried: "
    "with values from within the network, there are fewer to try"
)
# Shows the seconds of a search: those so far, and those at most.
Searching: TypeAlias = "Callable[[], AbstractContextManager[Callable[[int, int | None], None]]]"


@contextmanager
def _unseen() -> Iterator[Callable[[int, int | None], None]]:
    yield lambda _passed, _most: None


@dataclass(frozen=True)
class Judged:
    """What was found.

    Attributes:
        runs: in the order of what was observed.
        nodes: how many nodes were evaluated.
        not_judged: reason -> how many values could not be judged for it.
    """

    runs: tuple[Run, ...]
    nodes: int
    not_judged: Mapping[str, int]


def judge(
    graph: Graph,
    inputs: Mapping[str, Array],
    observed: Sequence[Observed],
    mode: Mode,
    *,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
    keep: Keep | None = None,
    on_guilty: Callable[[Guilty], None] | None = None,
    searching: Searching = _unseen,
) -> Judged:
    """Judge every value that was observed.

    Args:
        graph: the network.
        inputs: its inputs by name.
        observed: what runs of a program computed from them. The algorithms that one of them shows
            in its convolutions are tried on the others.
        mode: the numeric mode that the runtimes computed in.
        limits: R and Z.
        progress: as for `walk`.
        keep: as for `walk`.
        on_guilty: is given the node where a run goes wrong, once for each run that does.
        searching: entered while causes are looked for; gives what shows the seconds.
    """
    walked = walk_beside(graph, inputs, observed, mode, limits, progress, keep)

    def again(run: Observed) -> Attempt:
        [suspicion] = walk_beside(graph, inputs, [run], mode, limits, progress, keep).suspicions
        return Attempt(run, suspicion)

    found = [
        judge_by_algorithms(graph, inputs, Attempt(run, suspicion), run.mode or mode, again)
        for run, suspicion in zip(observed, walked.suspicions, strict=True)
    ]
    found = judge_as_others(graph, found, mode, again)
    if any(attempt.suspicion.guilty is not None for attempt in found):
        with searching() as seconds:
            _explain(graph, inputs, found, Search(progress=seconds))
    for attempt in found:
        if on_guilty is not None and attempt.suspicion.guilty is not None:
            on_guilty(attempt.suspicion.guilty)
    return Judged(tuple(map(_run, found)), walked.nodes, walked.not_judged)


def _explain(
    graph: Graph, inputs: Mapping[str, Array], found: Sequence[Attempt], search: Search
) -> None:
    """Find causes, beginning with the run that has most values: it says most precisely where."""
    for run, suspicion in sorted(found, key=lambda attempt: -len(attempt.run.values)):
        known = any(other.suspicion.cause for other in found)
        search.was_cut = False
        suspicion.explain(graph, {**inputs, **run.values}, search, throughout=not known)
        if search.was_cut and not suspicion.cause and not known:
            run.notes += (CUT,)


def _run(attempt: Attempt) -> Run:
    run, suspicion = attempt
    guilty = None if suspicion.guilty is None else suspicion.guilty.row
    return Run(run.name, tuple(run.rows), guilty, suspicion.cause, run.notes)

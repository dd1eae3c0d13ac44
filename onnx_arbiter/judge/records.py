"""What a comparison found: a report of runs, a run of rows, a row for each value of a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from onnx_arbiter.compare import Verdict

Status: TypeAlias = Literal["holds", "broken", "not judged"]


@dataclass(frozen=True)
class Row:
    """One value of one node.

    Attributes:
        value: its name.
        node, operator: which node computes it.
        shape: the arbiter's; None where it has no value.
        accumulated: the verdict on the value, all nodes so far having been computed by the runtime.
        local: the verdict on what this node alone computes from the arbiter's inputs, rounded.
        why: why there is no accumulated verdict; empty if there is one, or none was asked for.
        why_not_local: the same of the local one.
    """

    value: str
    node: str
    operator: str
    shape: tuple[int, ...] | None = None
    accumulated: Verdict | None = None
    local: Verdict | None = None
    why: str = ""
    why_not_local: str = ""

    @property
    def status(self) -> Status:
        """Broken if either verdict is; not judged if there is none."""
        verdicts = [v for v in (self.accumulated, self.local) if v is not None]
        if not verdicts:
            return "not judged"
        return "holds" if all(verdict.passed for verdict in verdicts) else "broken"


@dataclass(frozen=True)
class Run:
    """What one runtime computed, judged.

    Attributes:
        name: of the runtime, and how it ran.
        rows: in the order of the graph's nodes; values that the runtime did not give are left out
            unless the node was judged alone.
        guilty: the row where it goes wrong first; None if nothing does.
        cause: what explains that, in words; empty if nothing known does.
        notes: what else there is to say.
    """

    name: str
    rows: tuple[Row, ...]
    guilty: Row | None = None
    cause: str = ""
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Broken if any row is; not judged if no row has a verdict."""
        found = {row.status for row in self.rows}
        return "broken" if "broken" in found else "holds" if "holds" in found else "not judged"

    @property
    def worst_ratio(self) -> float:
        """The largest R of any verdict."""
        return max((verdict.ratio for verdict in self.verdicts()), default=0.0)

    @property
    def worst_deviations(self) -> float:
        """The largest Z of any verdict."""
        return max((verdict.deviations for verdict in self.verdicts()), default=0.0)

    def verdicts(self) -> Iterator[Verdict]:
        """Every verdict of every row."""
        for row in self.rows:
            yield from (v for v in (row.accumulated, row.local) if v is not None)


@dataclass(frozen=True)
class Report:
    """Runs of one network on one set of inputs.

    Attributes:
        model: the file or the name of the network.
        mode: the numeric mode that errors were predicted for.
        inputs: name -> shape.
        runs: what was judged.
        nodes: how many nodes were evaluated.
        not_judged: reason -> how many values could not be judged for it.
        seconds: how long the arbiter took.
        peak_bytes: the most memory that this process has used.
    """

    model: str
    mode: str
    inputs: dict[str, tuple[int, ...]]
    runs: tuple[Run, ...]
    nodes: int = 0
    not_judged: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def holds(self) -> bool:
        """Whether something was judged, and nothing is broken."""
        statuses = [run.status for run in self.runs]
        return "holds" in statuses and "broken" not in statuses

"""What ``benchmarks.port`` measured, as figures, as a page and as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from benchmarks.harness.measure import Outcome, summary
from benchmarks.harness.tables import GB, MB, number, page, provenance, ratio, table
from benchmarks.harness.targets import Target, target_documents, target_table

_MOST_OF_UNITS: Final = 1.5
_MOST_MEMORY: Final = 0.25 * GB


class Direction(NamedTuple):
    """From one format to another."""

    source: str
    target: str

    @property
    def title(self) -> str:
        """The direction in words."""
        return f"{self.source} to {self.target}"


@dataclass
class PortCost:
    """What porting in one direction cost.

    Attributes:
        direction: the formats.
        source_bytes: the size of the file that is ported.
        ports, units, naive: one outcome per process; ``naive`` for the main directions only.
        error: why there was no file to port; empty if there was one.
    """

    direction: Direction
    source_bytes: int = 0
    ports: list[Outcome] = field(default_factory=list)
    units: list[Outcome] = field(default_factory=list)
    naive: list[Outcome] = field(default_factory=list)
    error: str = ""

    @property
    def copy(self) -> float | None:
        """The shortest time of a plain copy of the source, flushed to the disk."""
        return summary(self.units, "copy", min)

    @property
    def permutation(self) -> float | None:
        """The shortest time of the permutation in memory; 0 where none is needed."""
        return None if self.copy is None else summary(self.units, "permutation", min) or 0.0

    @property
    def ratio(self) -> float | None:
        """The port's shortest time over the sum of those of the copy and the permutation."""
        copy, permutation = self.copy, self.permutation
        if copy is None or permutation is None:
            return None
        return ratio(seconds(self.ports), copy + permutation)

    @property
    def errors(self) -> list[str]:
        """Every failure, once."""
        kinds = {"port": self.ports, "units": self.units, "naive": self.naive}
        failed = [f"{kind}: {o.error}" for kind, found in kinds.items() for o in found if o.error]
        return list(dict.fromkeys([*filter(None, [self.error]), *failed]))


@dataclass(frozen=True)
class Results:
    """The network, the number of repeats, the machine, and every direction's cost."""

    configuration: str
    repeats: int
    machine: dict[str, str]
    costs: list[PortCost]


def seconds(outcomes: Sequence[Outcome]) -> float | None:
    """The shortest time of a port."""
    return summary(outcomes, "port", min)


def anonymous(outcomes: Sequence[Outcome]) -> float | None:
    """The largest peak of a port's memory above its start in bytes, without mapped files."""
    return summary(outcomes, "port", max, lambda span: span.above.anonymous)


def process(outcomes: Sequence[Outcome]) -> float | None:
    """The largest peak of a port's whole process in bytes, imports included, mapped files not."""
    return summary(outcomes, "port", max, lambda span: span.peak.anonymous)


def resident(outcomes: Sequence[Outcome]) -> float | None:
    """The same with the pages of mapped files, as tools of the system report it."""
    return summary(outcomes, "port", max, lambda span: span.peak.resident)


def targets(costs: Sequence[PortCost]) -> list[Target]:
    """Two targets for each direction."""
    found = []
    for cost in costs:
        title, memory = cost.direction.title, ratio(anonymous(cost.ports), GB)
        found += [
            Target(f"{title}: time over copy and permutation", cost.ratio, _MOST_OF_UNITS),
            Target(f"{title}: memory above imports", memory, _MOST_MEMORY / GB, unit="GB"),
        ]
    return found


def markdown(results: Results, command: str) -> str:
    """The page; ``command`` is the one that measured."""
    count = results.repeats
    return page(
        [
            f"# Porting configuration {results.configuration}: time and memory",
            _ports(results.costs),
            *_naive(results.costs),
            "## Targets",
            target_table(targets(results.costs)),
            *(
                f"{cost.direction.title} failed: {e}."
                for cost in results.costs
                for e in cost.errors
            ),
            provenance(command, results.machine),
            f"Seeded weights; the shortest time and the largest memory of {count} "
            f"process{'es' if count > 1 else ''} each. `python -m benchmarks.port --help` explains "
            "each column.",
        ]
    )


def document(results: Results) -> dict[str, Any]:
    """Every figure, and the measurements behind it."""
    return {
        "configuration": results.configuration,
        "repeats": results.repeats,
        "machine": results.machine,
        "directions": {cost.direction.title: _cost_document(cost) for cost in results.costs},
        "targets": target_documents(targets(results.costs)),
    }


def _cost_document(cost: PortCost) -> dict[str, Any]:
    kinds = {"port": cost.ports, "units": cost.units, "naive": cost.naive}
    return {
        "source_bytes": cost.source_bytes,
        "copy_seconds": cost.copy,
        "permutation_seconds": cost.permutation,
        "ratio": cost.ratio,
        **_figures("", cost.ports),
        **_figures("naive_", cost.naive),
        "errors": cost.errors,
        "outcomes": {kind: [asdict(one) for one in found] for kind, found in kinds.items()},
    }


def _figures(prefix: str, outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    return {
        f"{prefix or 'port_'}seconds": seconds(outcomes),
        f"{prefix}anonymous_above_bytes": anonymous(outcomes),
        f"{prefix}resident_above_bytes": summary(
            outcomes, "port", max, lambda span: span.above.resident
        ),
        f"{prefix}anonymous_peak_bytes": process(outcomes),
        f"{prefix}resident_peak_bytes": resident(outcomes),
    }


def _ports(costs: Sequence[PortCost]) -> str:
    header = (
        *("direction", "source, MB", "port, s", "copy, s", "permutation, s", "ratio"),
        *("peak above imports, GB", "whole process, GB", "with mapped files, GB"),
    )
    lines = (
        (
            cost.direction.title,
            number(cost.source_bytes or None, 1, MB),
            number(seconds(cost.ports)),
            number(cost.copy),
            number(cost.permutation),
            number(cost.ratio),
            number(anonymous(cost.ports), 3, GB),
            number(process(cost.ports), 3, GB),
            number(resident(cost.ports), 3, GB),
        )
        for cost in costs
    )
    return table(header, lines)


def _naive(costs: Sequence[PortCost]) -> list[str]:
    header = ("direction", "naive, s", "over our port", "peak above imports, GB", "over our peak")
    lines = []
    for cost in costs:
        if cost.naive:
            time, memory = seconds(cost.naive), anonymous(cost.naive)
            lines.append(
                (
                    cost.direction.title,
                    number(time),
                    number(ratio(time, seconds(cost.ports)), 1),
                    number(memory, 3, GB),
                    number(ratio(memory, anonymous(cost.ports)), 1),
                )
            )
    if not lines:
        return []
    how = "Through the other framework's model, Keras on PyTorch (`KERAS_BACKEND=torch`)."
    return ["## The naive way", how, table(header, lines)]

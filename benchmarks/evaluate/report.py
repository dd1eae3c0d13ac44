"""What ``benchmarks.evaluate`` measured, as figures, as a page and as one JSON document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from benchmarks.harness.measure import Outcome
from benchmarks.harness.tables import GB, number, page, provenance, ratio, table
from benchmarks.harness.targets import Target, target_documents, target_table
from vgg16_spec.errors import counted

# Nine tenths of the loop's images per second.
_MOST_TIME: Final = 1 / 0.9
_MOST_MEMORY: Final = 1.5 * GB


@dataclass
class Turns:
    """One runtime's outcomes, one per repeat on each side.

    Attributes:
        runtime: its name.
        engines: of the engine.
        loops: of the hand-written loop.
        difference: the largest between their logits, over the largest logit; None if not compared.
    """

    runtime: str
    engines: list[Outcome] = field(default_factory=list)
    loops: list[Outcome] = field(default_factory=list)
    difference: float | None = None

    @property
    def ratio(self) -> float | None:
        """The engine's images per second over the loop's."""
        return ratio(shortest(self.loops), shortest(self.engines))

    @property
    def errors(self) -> list[str]:
        """Every failure, once."""
        kinds = {"engine": self.engines, "loop": self.loops}
        failed = [f"{kind}: {o.error}" for kind, found in kinds.items() for o in found if o.error]
        return list(dict.fromkeys(failed))


@dataclass(frozen=True)
class Results:
    """What was measured, and on what."""

    configuration: str
    images: int
    batch: int
    repeats: int
    machine: dict[str, str]
    turns: list[Turns]


def _figure(
    outcomes: list[Outcome], name: str, choose: Callable[[list[float]], float]
) -> float | None:
    found = [float(o.result[name]) for o in outcomes if not o.error and name in o.result]
    return choose(found) if found else None


def shortest(outcomes: list[Outcome]) -> float | None:
    """The shortest time of all images."""
    return _figure(outcomes, "seconds", min)


def targets(turns: list[Turns]) -> list[Target]:
    """Two targets for each runtime."""
    found = []
    for each in turns:
        memory = ratio(_figure(each.engines, "above_weights", max), GB)
        time = ratio(shortest(each.engines), shortest(each.loops))
        found += [
            Target(f"{each.runtime}: time over the loop's", time, _MOST_TIME),
            Target(f"{each.runtime}: above the weights", memory, _MOST_MEMORY / GB, unit="GB"),
        ]
    return found


def markdown(results: Results, command: str) -> str:
    """The page; ``command`` is the one that measured."""
    return page(
        [
            f"# Evaluating configuration {results.configuration}: speed and memory",
            f"{results.images} images, batches of {results.batch}, on the CPU.",
            _table(results),
            "## Targets",
            target_table(targets(results.turns)),
            *(f"{each.runtime} failed: {e}." for each in results.turns for e in each.errors),
            provenance(command, results.machine),
            f"Seeded weights; {counted(results.repeats, 'turn')} of each side. "
            "`python -m benchmarks.evaluate --help` explains each column.",
        ]
    )


def document(results: Results) -> dict[str, Any]:
    """Every figure, and the measurements behind it."""
    return {
        "configuration": results.configuration,
        "images": results.images,
        "batch": results.batch,
        "repeats": results.repeats,
        "machine": results.machine,
        "runtimes": {each.runtime: asdict(each) | {"ratio": each.ratio} for each in results.turns},
        "targets": target_documents(targets(results.turns)),
    }


def _table(results: Results) -> str:
    header = (
        *("runtime", "engine, images/s", "loop, images/s", "ratio", "difference"),
        *("above the weights, GB", "while it loads, GB", "main process, GB"),
    )
    lines = []
    for each in results.turns:
        speeds = [ratio(results.images, shortest(side)) for side in (each.engines, each.loops)]
        memory = [
            number(_figure(each.engines, name, max), 2, GB)
            for name in ("above_weights", "peak_above_weights", "main")
        ]
        difference = "–" if each.difference is None else f"{each.difference:.1e}"
        lines.append((each.runtime, *map(number, speeds), number(each.ratio), difference, *memory))
    return table(header, lines)

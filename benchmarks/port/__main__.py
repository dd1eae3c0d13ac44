"""``python -m benchmarks.port``: measure the directions, write the page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.harness import command, machine, measure
from benchmarks.harness.command import say
from benchmarks.harness.measure import Limits, Outcome
from benchmarks.port import report
from benchmarks.port.naive import NAIVE
from benchmarks.port.report import Direction, PortCost, Results
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_weights.formats import FORMATS

_PACKAGE: Final = "benchmarks.port"
_WORKER: Final = "benchmarks.port.worker"
_PACKAGES: Final = ("numpy", "h5py", "safetensors", "torch", "torchvision", "keras")
_SEEDED: Final = "safetensors"
# By source, so that each source can be removed before the next one is made.
DIRECTIONS: Final = (
    Direction("safetensors", "keras-weights-h5"),
    Direction("safetensors", "torchvision"),
    Direction("safetensors", "keras"),
    Direction("keras-weights-h5", "safetensors"),
    Direction("keras-weights-h5", "torchvision"),
    Direction("torchvision", "safetensors"),
    Direction("torchvision", "keras-weights-h5"),
    Direction("torchvision", "keras-h5"),
    Direction("keras-h5", "torchvision"),
    Direction("timm", "npz"),
    Direction("npz", "timm"),
)
_BY_NAME: Final = {":".join(direction): direction for direction in DIRECTIONS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 if a port failed, whatever the figures."""
    chosen = _parser().parse_args(arguments)
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    reference = seeded_checkpoint(chosen.configuration).file
    directions = [_BY_NAME[name] for name in chosen.directions]
    with TemporaryDirectory(prefix="benchmark-port-", dir=chosen.folder) as folder:
        bench = _Bench(chosen.configuration, reference, Path(folder), command.limits(chosen))
        costs = bench.measure(directions, chosen.repeats)
    results = Results(chosen.configuration, chosen.repeats, facts, costs)
    page = report.markdown(results, command.line(_PACKAGE, arguments))
    command.publish(page, chosen, report.document(results))
    return 1 if any(cost.errors for cost in costs) else 0


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(_PACKAGE)
    add: Callable[..., object] = parser.add_argument
    add("--configuration", default="D", choices=list(CONFIGURATIONS), help="the network")
    add("--repeats", type=command.positive, default=5, help="processes per measurement")
    known = list(_BY_NAME)
    directions = f"comma-separated, some of {', '.join(known)}"
    add("--directions", type=command.names(known), default=known, help=directions)
    command.add_limits(parser)
    return parser


@dataclass(frozen=True)
class _Bench:
    """A folder for the files, and the measurements in it.

    Attributes:
        configuration: the network's name.
        reference: its seeded checkpoint, the source of every file.
        folder: empty at first.
        limits: of each process.
    """

    configuration: str
    reference: Path
    folder: Path
    limits: Limits

    def measure(self, directions: Sequence[Direction], repeats: int) -> list[PortCost]:
        """Measure every direction; a source file exists from its first use to its last."""
        costs = []
        for number, direction in enumerate(directions):
            cost = PortCost(direction)
            source = self._source(direction.source, cost)
            if not cost.error:
                cost.source_bytes = source.stat().st_size
                for repeat in range(repeats):
                    say(f"{repeat + 1} of {repeats}: {direction.title}")
                    self._repeat(cost, source, first=not repeat)
            costs.append(cost)
            needed = any(later.source == direction.source for later in directions[number + 1 :])
            if not needed and source != self.reference:
                source.unlink(missing_ok=True)
        return costs

    def _source(self, name: str, cost: PortCost) -> Path:
        """The weights in a format; if they cannot be written, the cost's error says why."""
        if name == _SEEDED:
            return self.reference
        path = self._path("source", name)
        if not path.exists():
            say(f"source: {name}")
            cost.error = self._run("port", Direction(_SEEDED, name), self.reference, path).error
        return path

    def _repeat(self, cost: PortCost, source: Path, *, first: bool) -> None:
        """Run each measurement of a direction once."""
        measured = {"port": cost.ports, "units": cost.units}
        if cost.direction in NAIVE:
            measured["naive"] = cost.naive
        out = self._path("out", cost.direction.target)
        for task, outcomes in measured.items():
            outcomes.append(self._run(task, cost.direction, source, out, check=first))
            out.unlink(missing_ok=True)

    def _run(
        self, task: str, direction: Direction, source: Path, out: Path, *, check: bool = False
    ) -> Outcome:
        measure.settle(source)
        job = {
            "task": task,
            "configuration": self.configuration,
            "from": direction.source,
            "to": direction.target,
            "source": str(source),
            "out": str(out),
            "reference": str(self.reference),
            "check": check,
        }
        return measure.run(_WORKER, job, self.limits, {"KERAS_BACKEND": "torch"})

    def _path(self, stem: str, name: str) -> Path:
        # timm's format has no ending of its own: .safetensors is the canonical format's.
        return self.folder / f"{stem}-{name}{FORMATS[name].ending or '.safetensors'}"


if __name__ == "__main__":
    raise SystemExit(main())

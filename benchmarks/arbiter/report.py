"""What ``benchmarks.arbiter`` measured, as figures, as a page and as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from benchmarks.harness.measure import Outcome, summary
from benchmarks.harness.tables import GB, number, page, provenance, ratio, table
from benchmarks.harness.targets import Target, target_documents, target_table

# Task -> what it is called in the table.
TASKS: Final = MappingProxyType(
    {
        "walk": "the walk",
        "alone": "with every node alone in ONNX Runtime",
        "polygraphy": "`polygraphy run --onnxrt --onnx-outputs mark all`",
        "float64": "ONNX Runtime in float64, every value",
    }
)
_MOST_SECONDS: Final = MappingProxyType({"ResNet-50": 15.0, "ViT-B/16": 40.0})
_MOST_MEMORY: Final = MappingProxyType({"ResNet-50": 3.0})
_MOST_OF_PRODUCTS: Final = 3.0
_GIGA: Final = 1e9


@dataclass
class Cost:
    """What one network costs.

    Attributes:
        network: its name.
        runs: task -> one outcome per process.
        error: why there was no file; empty if there was one.
        lacking: the operators that ONNX Runtime has no kernel in float64 for.
    """

    network: str
    runs: dict[str, list[Outcome]] = field(default_factory=dict)
    error: str = ""
    lacking: list[str] = field(default_factory=list)

    def seconds(self, task: str) -> float | None:
        """The shortest time of a task."""
        return summary(self.runs.get(task, ()), "work", min)

    def memory(self, task: str) -> float | None:
        """The largest peak of resident memory of a task's process, in bytes."""
        return summary(self.runs.get(task, ()), "work", max, lambda span: span.peak.resident)

    def figure(self, name: str) -> float | None:
        """A figure that the walk returned, of the process that needed the least time."""
        found = [run.result for run in self.runs.get("walk", ()) if not run.error]
        return min(found, key=lambda each: each["processor"])[name] if found else None

    @property
    def of_operations(self) -> float | None:
        """The walk's processor time over that of its operations at the matrix rate."""
        names = ("operations", "rate", "processor")
        operations, rate, processor = map(self.figure, names)
        if operations is None or not rate:
            return None
        return ratio(processor, operations / rate)

    @property
    def errors(self) -> dict[str, str]:
        """Task -> why it failed."""
        return {
            task: run.error for task, runs in self.runs.items() for run in runs if run.error
        } | ({"export": self.error} if self.error else {})


def targets(costs: Sequence[Cost]) -> list[Target]:
    """The ratio for each network; seconds and memory where they have a limit."""
    found = []
    for cost in costs:
        name, seconds = cost.network, cost.seconds("walk")
        ratio_name = f"{name}: time over the operations at the matrix rate"
        found.append(Target(ratio_name, cost.of_operations, _MOST_OF_PRODUCTS))
        if name in _MOST_SECONDS:
            found.append(Target(f"{name}: the walk", seconds, _MOST_SECONDS[name], unit="s"))
        if name in _MOST_MEMORY:
            memory = ratio(cost.memory("walk"), GB)
            found.append(Target(f"{name}: memory", memory, _MOST_MEMORY[name], unit="GB"))
    return found


def markdown(costs: Sequence[Cost], machine: Mapping[str, str], command: str, note: str) -> str:
    """The page; ``command`` is the one that measured, ``note`` what there is to say of the run."""
    return page(
        [
            "# The arbiter: time and memory",
            _INTRODUCTION,
            note,
            _operations(costs),
            "## Beside others",
            _OTHERS,
            _tasks(costs),
            *_lacking(costs),
            *_failures(costs),
            "## Targets",
            target_table(targets(costs)),
            provenance(command, machine),
        ]
    )


_INTRODUCTION: Final = """\
The arbiter evaluates every value of a network in float64 and predicts the error of a runtime at
each element. For a sum of products that takes three products: of the values in float64, of the
squares and of the variances in float32; the rest reads and writes memory.
`python -m benchmarks.arbiter --help` explains each figure. Networks are torchvision's, exported
with nothing folded; one image of 224 pixels, one mode."""

_OTHERS: Final = """\
Polygraphy runs the file in float32 with every value an output, and compares nothing: with a second
runtime it would compare by a tolerance that somebody chooses. ONNX Runtime in float64 gives exact
values, too, but no errors to expect; where it has no kernel in float64, the operator is in float32
between casts."""


def _operations(costs: Sequence[Cost]) -> str:
    header = (
        *("network", "operations, 10⁹", "values, 10⁶", "matrix rate, 10⁹/s", "the walk, s"),
        *("of the processor, s", "over operations", "memory, GB"),
    )
    lines = (
        (
            cost.network,
            number(cost.figure("operations"), 2, _GIGA),
            number(cost.figure("values"), 1, 1e6),
            number(cost.figure("rate"), 1, _GIGA),
            number(cost.seconds("walk")),
            number(cost.figure("processor")),
            number(cost.of_operations),
            number(cost.memory("walk"), 2, GB),
        )
        for cost in costs
    )
    return table(header, lines)


def _tasks(costs: Sequence[Cost]) -> str:
    header = ("network", "what", "time, s", "memory, GB")
    lines = (
        (cost.network, said, number(cost.seconds(task)), number(cost.memory(task), 2, GB))
        for cost in costs
        for task, said in TASKS.items()
    )
    return table(header, lines, words=2)


def _lacking(costs: Sequence[Cost]) -> list[str]:
    return [
        f"{cost.network}: ONNX Runtime's CPU has no kernel in float64 for "
        f"{', '.join(cost.lacking)}: these are in float32, and the values not exact."
        for cost in costs
        if cost.lacking
    ]


def _failures(costs: Sequence[Cost]) -> list[str]:
    return [
        f"{cost.network}, {TASKS.get(task, task)}: {error}"
        for cost in costs
        for task, error in cost.errors.items()
    ]


def document(costs: Sequence[Cost], machine: Mapping[str, str]) -> dict[str, Any]:
    """Every figure as JSON."""
    return {
        "machine": dict(machine),
        "targets": target_documents(targets(costs)),
        "networks": {
            cost.network: {
                "over_operations": cost.of_operations,
                "seconds": {task: cost.seconds(task) for task in TASKS},
                "resident_peak_bytes": {task: cost.memory(task) for task in TASKS},
                "errors": cost.errors,
                "runs": {task: [asdict(run) for run in runs] for task, runs in cost.runs.items()},
            }
            for cost in costs
        },
    }

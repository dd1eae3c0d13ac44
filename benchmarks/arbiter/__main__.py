"""``python -m benchmarks.arbiter``: measure the walk and what is like it, write the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.arbiter import report
from benchmarks.arbiter.report import TASKS, Cost
from benchmarks.harness import command, machine, measure
from benchmarks.harness.command import say
from benchmarks.harness.measure import Limits

_PACKAGE: Final = "benchmarks.arbiter"
_WORKER: Final = "benchmarks.arbiter.worker"
_PACKAGES: Final = ("numpy", "onnx", "onnxruntime", "torch", "torchvision", "polygraphy")
# The matrix rate and the walk's processor time are those of one thread.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
NETWORKS: Final = ("ResNet-50", "MobileNetV2", "ViT-B/16")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 if a walk failed, whatever the figures."""
    parser = command.parser(_PACKAGE)
    listed = f"comma-separated, some of {', '.join(NETWORKS)}"
    parser.add_argument(
        "--networks", type=command.names(NETWORKS), default=list(NETWORKS), help=listed
    )
    parser.add_argument(
        "--tasks", type=command.names(tuple(TASKS)), default=list(TASKS), help="comma-separated"
    )
    parser.add_argument("--repeats", type=command.positive, default=3, help="processes for each")
    parser.add_argument("--note", default="", help="a sentence on the page, on this run")
    command.add_limits(parser)
    chosen = parser.parse_args(arguments)
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    costs = []
    for name in chosen.networks:
        with TemporaryDirectory(prefix="benchmark-arbiter-", dir=chosen.folder) as folder:
            limits = command.limits(chosen)
            costs.append(_measure(name, chosen.tasks, chosen.repeats, Path(folder), limits))
    line = command.line(_PACKAGE, arguments)
    page = report.markdown(costs, facts, line, chosen.note)
    command.publish(page, chosen, report.document(costs, facts))
    return 1 if any({"export", "walk", "alone"} & cost.errors.keys() for cost in costs) else 0


def _measure(
    network: str, tasks: Sequence[str], repeats: int, folder: Path, limits: Limits
) -> Cost:
    """Export a network, and run each task so many times, taking turns."""
    files = {"model": "model.onnx", "float64": "float64.onnx", "image": "image.npy"}
    job = {"network": network, **{key: str(folder / file) for key, file in files.items()}}
    say(f"export: {network}")
    cost = Cost(network, {task: [] for task in tasks})
    exported = measure.run(_WORKER, {**job, "task": "export"}, limits)
    cost.error, cost.lacking = exported.error, exported.result.get("lacking", [])
    if cost.error:
        return cost
    measure.settle(*filter(Path.is_file, folder.iterdir()))
    for repeat in range(repeats):
        for task, outcomes in cost.runs.items():
            say(f"{repeat + 1} of {repeats}: {network}, {TASKS[task]}")
            outcomes.append(measure.run(_WORKER, {**job, "task": task}, limits, _ONE_THREAD))
    return cost


if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m benchmarks.export``: measure the routes, write the page."""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.export import report
from benchmarks.export.prepare import TORCHVISION
from benchmarks.export.results import Latency, Results, RouteCost
from benchmarks.export.routes import ROUTES
from benchmarks.harness import command, machine, measure
from benchmarks.harness.command import say
from benchmarks.harness.measure import Limits, Outcome
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.checkpoint import digest
from vgg16_spec.checkpoint.seeded import seeded_checkpoint

_PACKAGE: Final = "benchmarks.export"
_WORKER: Final = "benchmarks.export.worker"
_PACKAGES: Final = (
    *("keras", "tensorflow", "tf2onnx", "jax", "jax2onnx", "torch", "torchvision"),
    *("onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy"),
)
# The file that is in every group of open sessions: the first of these that was exported.
_REFERENCE: Final = ("peer-torch-external", "torch-shared")
# The memory of an open session: its weights as stored and as the kernels pack them, and its arena.
_SESSION_WEIGHTS: Final = 2.5
_SESSION_ARENA: Final = 600 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 if a measurement failed unexpectedly."""
    chosen = _parser().parse_args(arguments)
    names = [name for name in chosen.routes if chosen.slow or not ROUTES[name].slow]
    with TemporaryDirectory(prefix="benchmark-export-", dir=chosen.folder) as folder:
        results = _measure(chosen, names, Path(folder), command.limits(chosen))
    page = report.markdown(results, command.line(_PACKAGE, arguments))
    command.publish(page, chosen, report.document(results))
    return 1 if report.failed(results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(_PACKAGE)
    add: Callable[..., object] = parser.add_argument
    add("--configuration", default="D", choices=list(CONFIGURATIONS), help="the network")
    add("--repeats", type=command.positive, default=3, help="processes per export")
    add("--session-repeats", type=command.positive, default=5, help="processes per file's session")
    add("--rounds", type=command.positive, default=20, help="rounds of latency at batch 1")
    add("--rounds-of-8", type=command.positive, default=7, help="rounds of latency at batch 8")
    add("--slow", action="store_true", help="also run the routes that take minutes")
    routes = f"comma-separated, some of {', '.join(ROUTES)}"
    add("--routes", type=command.names(list(ROUTES)), default=list(ROUTES), help=routes)
    command.add_limits(parser)
    return parser


def _measure(
    chosen: argparse.Namespace, names: Sequence[str], work: Path, limits: Limits
) -> Results:
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    small = _place(work / "small", "tiny")
    checkpoint = _place(work / "shared", chosen.configuration)
    routes = _exports(names, work, checkpoint, small, chosen.repeats, limits)
    files = {
        name: ROUTES[name].model(work)
        for name, cost in routes.items()
        if ROUTES[name].session and not cost.error
    }
    size = configuration(chosen.configuration).input_size
    sessions = _sessions(files, size, chosen.session_repeats, limits)
    rounds = {1: chosen.rounds, 8: chosen.rounds_of_8}
    return Results(
        configuration=chosen.configuration,
        peer=TORCHVISION.get(chosen.configuration, ""),
        weights_bytes=checkpoint.stat().st_size,
        machine=facts,
        routes=routes,
        sessions=sessions,
        latency=_latency(files, size, rounds, checkpoint.stat().st_size, limits),
    )


def _place(folder: Path, name: str) -> Path:
    """A copy of a seeded checkpoint in a folder, for graphs beside it to point into."""
    folder.mkdir()
    path = folder / "weights.safetensors"
    shutil.copyfile(seeded_checkpoint(name).file, path)
    return path


def _exports(
    names: Sequence[str], work: Path, checkpoint: Path, small: Path, repeats: int, limits: Limits
) -> dict[str, RouteCost]:
    modules: dict[str, list[str]] = {}
    costs: dict[str, RouteCost] = {}
    for name in names:
        say(f"modules of {name}")
        outcome = _export(name, small, work, [], limits)
        modules[name] = outcome.result.get("modules", [])
        error = f"on the tiny configuration: {outcome.error}" if outcome.error else ""
        costs[name] = RouteCost(ROUTES[name], error=error)
    for repeat in range(repeats):
        for name in names:
            cost = costs[name]
            if cost.error:
                continue
            say(f"export {repeat + 1} of {repeats}: {name}")
            outcome = _export(name, checkpoint, work, modules[name], limits)
            # A route that was killed is reported too, with the memory that it had reached.
            outcomes = (*cost.outcomes, replace(outcome, result={}))
            route, written = cost.route, cost.route.written(work)
            graph = route.model(work)
            same = digest(graph) if route.side == "ours" and graph.exists() else ""
            late = outcome.result.get("late", [])
            costs[name] = RouteCost(route, outcome.error, outcomes, written, same, late)
            if not route.session:
                route.clear(work)
    return costs


def _export(name: str, checkpoint: Path, work: Path, modules: list[str], limits: Limits) -> Outcome:
    """One export in a process; without modules to import, it returns those that it needed."""
    route = ROUTES[name]
    route.clear(work)
    out = work / route.out
    if route.out.startswith("shared/"):
        out = checkpoint.parent / out.name  # beside the checkpoint that is exported
    measure.settle(checkpoint)
    job = {
        "task": "export",
        "route": name,
        "checkpoint": str(checkpoint),
        "out": str(out),
        "modules": modules,
        "list_modules": not modules,
    }
    return measure.run(_WORKER, job, limits, route.settings())


def _sessions(
    files: Mapping[str, Path], size: int, repeats: int, limits: Limits
) -> dict[str, list[Outcome]]:
    sessions: dict[str, list[Outcome]] = {name: [] for name in files}
    for repeat in range(repeats):
        # In another order each time: a file always opened after the same other one would be
        # compared with it unfairly.
        order = random.Random(repeat).sample(list(files.items()), len(files))  # noqa: S311
        for name, path in order:
            say(f"session {repeat + 1} of {repeats}: {name}")
            weights = (*path.parent.rglob("*.data"), *path.parent.rglob("*.safetensors"))
            measure.settle(path, *weights)
            job = {"task": "open", "model": str(path), "size": size}
            sessions[name].append(measure.run(_WORKER, job, limits))
    return sessions


def _latency(
    files: Mapping[str, Path],
    size: int,
    rounds: Mapping[int, int],
    weights_bytes: int,
    limits: Limits,
) -> Latency:
    """Run the files' sessions in groups that fit into memory, each group with the reference."""
    reference = next((name for name in _REFERENCE if name in files), next(iter(files), ""))
    others = [name for name in files if name != reference]
    need = _SESSION_WEIGHTS * weights_bytes + _SESSION_ARENA
    together = max(1, int(0.8 * machine.memory_line("MemAvailable") / need) - 1)
    latency = Latency(reference)
    for first in range(0, max(1, len(others)), together):
        group = [name for name in (reference, *others[first : first + together]) if name]
        if not group:
            break
        say(f"latency: {', '.join(group)}")
        job = {
            "task": "latency",
            "models": {name: str(files[name]) for name in group},
            "rounds": {str(batch): number for batch, number in rounds.items()},
            "reference": reference,
            "size": size,
        }
        # The limits are those of one export; a group has as many sessions as files.
        room = Limits(limits.seconds * len(group), machine.memory_line("MemTotal") or 1 << 62)
        latency.groups.append((group, measure.run(_WORKER, job, room)))
    return latency


if __name__ == "__main__":
    raise SystemExit(main())

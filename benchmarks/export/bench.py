"""What exporting to ONNX costs, and what the files are worth: this project and its peers.

    python -m benchmarks.export --configuration D --markdown out.md --json out.json

Everything runs in a process of its own, on the CPU. All routes export the same seeded weights.

Exporting.
  *Time* starts when everything is imported, and when a peer's framework holds its model with the
  weights loaded; this project's routes start with the checkpoint's file opened (mapped, not read).
  *Imported* is every module that the same route, exporting the tiny configuration in another
  process, had loaded when it ended: also the parts of PyTorch's exporter, of tf2onnx and of
  onnxscript that are imported in the middle of a first export. Not counted as import, thus timed:
  what a framework sets up when it is first used (registries, contexts, compiled functions).
  *Process* is the whole life of the process: Python, imports, loading, the export, the end.
  *Peak above* is the most resident memory while the clock ran, less what was resident when it
  started: above imports, and for a peer above its loaded model. Pages of mapped input files count.
  *Anonymous above* is the same of anonymous memory, without mapped files, sampled every 5 ms.
  *Process peak* is the most resident memory of the process's whole life.
  Times are medians of the repeats, memory is the largest. The page cache holds the weights; what
  earlier routes wrote is on the disk before the next starts. A route beyond the limits of time or
  memory is stopped, and reported so. The slow routes are left out without ``--slow``.

Sessions. ONNX Runtime, imported before the clock starts, opens a file in a process of its own and
runs it once on one image; the files in turn and in another order each time, each in the page
cache.

Latency. The sessions of all files are open in one process, as many as memory allows, and run in
turn; of each round the ratio to one file is taken, and of the rounds the median. The logits of all
files are compared, so that all are known to compute the same.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.export import report
from benchmarks.export.prepare import TORCHVISION
from benchmarks.export.results import Latency, Results, Row
from benchmarks.export.routes import ROUTES
from benchmarks.harness import machine, measure
from benchmarks.harness.measure import Limits, Outcome
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.checkpoint import digest
from vgg16_spec.checkpoint.seeded import seeded_checkpoint

_WORKER: Final = "benchmarks.export.worker"
_PACKAGES: Final = (
    *("keras", "tensorflow", "tf2onnx", "jax", "jax2onnx", "torch", "torchvision"),
    *("onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy"),
)
# Compared with in every group of sessions that are open together.
_REFERENCE: Final = ("peer-torch-external", "torch-shared")
# An open session's memory: its weights as they are and as the kernels want them, and its arena.
_SESSION_WEIGHTS: Final = 2.5
_SESSION_ARENA: Final = 600 << 20
_BLOCK: Final = 1 << 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where something failed unexpectedly."""
    chosen = _parser().parse_args(arguments)
    names = chosen.routes.split(",") if chosen.routes else list(ROUTES)
    if unknown := [name for name in names if name not in ROUTES]:
        print(f"unknown routes: {', '.join(unknown)}; known: {', '.join(ROUTES)}", file=sys.stderr)
        return 2
    names = [name for name in names if chosen.slow or not ROUTES[name].slow]
    limits = Limits(chosen.time_limit, int(chosen.memory_limit * 2**30))
    with TemporaryDirectory(prefix="benchmark-export-", dir=chosen.folder) as folder:
        results = _measure(chosen, names, Path(folder), limits)
    text = report.markdown(results)
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text, encoding="utf-8")
    if chosen.json:
        document = json.dumps(report.document(results), indent=1)
        chosen.json.write_text(document + "\n", encoding="utf-8")
    return 1 if report.failed(results) else 0


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=summary)
    add = parser.add_argument
    add("--configuration", default="D", choices=list(CONFIGURATIONS), help="the network")
    add("--repeats", type=_count, default=3, help="processes of each export")
    add("--session-repeats", type=_count, default=5, help="processes of each file's session")
    add("--rounds", type=_count, default=20, help="of latency at batch 1")
    add("--rounds-of-8", type=_count, default=7, help="of latency at batch 8")
    add("--slow", action="store_true", help="also the routes that take minutes")
    add("--routes", default="", help=f"only these, with commas: {','.join(ROUTES)}")
    add("--time-limit", type=float, default=300, help="seconds of a process")
    add("--memory-limit", type=float, default=18, help="GiB of resident memory of a process")
    add("--folder", type=Path, help="where the temporary folder is made; needs 6 GB")
    add("--date", default=datetime.date.today().isoformat(), help="printed with the results")
    add("--markdown", type=Path, help="write the report here too")
    add("--json", type=Path, help="write every figure here")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return number


def _measure(
    chosen: argparse.Namespace, names: Sequence[str], work: Path, limits: Limits
) -> Results:
    facts = machine.describe(_PACKAGES, chosen.date)
    small = _place(work / "small", "tiny")
    checkpoint = _place(work / "shared", chosen.configuration)
    rows = _exports(names, work, checkpoint, small, chosen.repeats, limits)
    files = {
        name: ROUTES[name].model(work)
        for name, row in rows.items()
        if ROUTES[name].session and not row.error
    }
    size = configuration(chosen.configuration).input_size
    sessions = _sessions(files, size, chosen.session_repeats, limits)
    rounds = {1: chosen.rounds, 8: chosen.rounds_of_8}
    return Results(
        configuration=chosen.configuration,
        peer=TORCHVISION.get(chosen.configuration, ""),
        weights_bytes=checkpoint.stat().st_size,
        machine=facts,
        rows=rows,
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
) -> dict[str, Row]:
    modules: dict[str, list[str]] = {}
    rows: dict[str, Row] = {}
    for name in names:
        _say(f"modules of {name}")
        outcome = _export(name, small, work, [], limits)
        modules[name] = outcome.result.get("modules", [])
        error = f"on the tiny configuration: {outcome.error}" if outcome.error else ""
        rows[name] = Row(ROUTES[name], error=error)
    for repeat in range(repeats):
        for name in names:
            row = rows[name]
            if row.error:
                continue
            _say(f"export {repeat + 1} of {repeats}: {name}")
            outcome = _export(name, checkpoint, work, modules[name], limits)
            # Even of a route that was stopped the memory that it had reached is worth reporting.
            outcomes = (*row.outcomes, replace(outcome, result={}))
            route, written = row.route, row.route.written(work)
            graph = route.model(work)
            same = digest(graph) if route.side == "ours" and graph.exists() else ""
            late = outcome.result.get("late", [])
            rows[name] = Row(route, outcome.error, outcomes, written, same, late)
            if not route.session:
                route.clear(work)
    return rows


def _export(name: str, checkpoint: Path, work: Path, modules: list[str], limits: Limits) -> Outcome:
    """One export in a process; without modules to import it tells those that it needed."""
    route = ROUTES[name]
    route.clear(work)
    out = work / route.out
    if route.out.startswith("shared/"):
        out = checkpoint.parent / out.name  # beside the checkpoint that is exported
    _warm(checkpoint)
    if hasattr(os, "sync"):
        os.sync()
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
        # In another order each time: a file always opened after the same other one is not compared
        # with it fairly.
        order = random.Random(repeat).sample(list(files.items()), len(files))  # noqa: S311
        for name, path in order:
            _say(f"session {repeat + 1} of {repeats}: {name}")
            for file in {path, *path.parent.rglob("*.data"), *path.parent.rglob("*.safetensors")}:
                _warm(file)
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
    """The files' sessions in groups that fit into memory, each group with the reference."""
    reference = next((name for name in _REFERENCE if name in files), next(iter(files), ""))
    others = [name for name in files if name != reference]
    need = _SESSION_WEIGHTS * weights_bytes + _SESSION_ARENA
    together = max(1, int(0.8 * machine.memory_line("MemAvailable") / need) - 1)
    latency = Latency(reference)
    for first in range(0, max(1, len(others)), together):
        group = [name for name in (reference, *others[first : first + together]) if name]
        if not group:
            break
        _say(f"latency: {', '.join(group)}")
        job = {
            "task": "latency",
            "models": {name: str(files[name]) for name in group},
            "rounds": {str(batch): number for batch, number in rounds.items()},
            "reference": reference,
            "size": size,
        }
        # As many sessions as the group has: the limits are those of one export.
        room = Limits(limits.seconds * len(group), machine.memory_line("MemTotal") or 1 << 62)
        latency.groups.append((group, measure.run(_WORKER, job, room)))
    return latency


def _warm(path: Path) -> None:
    """Have a file in the page cache."""
    with path.open("rb", buffering=0) as file:
        read: Callable[[int], Any] = file.read
        while read(_BLOCK):
            pass


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

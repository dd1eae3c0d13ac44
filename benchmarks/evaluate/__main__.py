"""``python -m benchmarks.evaluate``: measure both sides in turns, write the page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.evaluate import report
from benchmarks.evaluate.loops import BESIDE_TIMM, sides
from benchmarks.evaluate.pictures import write_pictures
from benchmarks.evaluate.report import Results, Turns
from benchmarks.harness import command, machine, measure
from benchmarks.harness.command import say
from export import export_onnx
from vgg16_parity.runtimes.process import framework_environment
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint.seeded import seeded_checkpoint

_PACKAGE: Final = "benchmarks.evaluate"
_WORKER: Final = "benchmarks.evaluate.worker"
_PACKAGES: Final = (
    *("numpy", "pillow", "torch", "torchvision", "timm"),
    *("keras", "tensorflow", "jax", "onnxruntime"),
)
_USUAL: Final = ("torch", BESIDE_TIMM, "keras-tensorflow", "keras-jax", "onnx-from-torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 if a side failed, whatever the figures."""
    chosen = _parser().parse_args(arguments)
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    limits = command.limits(chosen)
    checkpoint = seeded_checkpoint(chosen.configuration)
    turns = [Turns(name) for name in chosen.runtimes]
    with TemporaryDirectory(prefix="benchmark-evaluate-", dir=chosen.folder) as name:
        folder = Path(name)
        write_pictures(folder / "pictures", chosen.images)
        job: dict[str, Any] = {
            "checkpoint": str(checkpoint.file),
            "pictures": str(folder / "pictures"),
            "batch": chosen.batch,
            "model": str(folder / "model.onnx"),
        }
        if any(sides(each.runtime)[0].onnx for each in turns):
            export_onnx("torch", checkpoint, folder / "model.onnx")
        for each in turns:
            for repeat in range(chosen.repeats):
                say(f"{repeat + 1} of {chosen.repeats}: {each.runtime}")
                _turn(each, job, limits, folder)
    results = Results(
        chosen.configuration, chosen.images, chosen.batch, chosen.repeats, facts, turns
    )
    page = report.markdown(results, command.line(_PACKAGE, arguments))
    command.publish(page, chosen, report.document(results))
    return 1 if any(each.errors for each in turns) else 0


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(_PACKAGE)
    add: Callable[..., object] = parser.add_argument
    add("--configuration", default="D", choices=list(CONFIGURATIONS), help="the network")
    add("--images", type=command.positive, default=128, help="pictures to compute")
    add("--batch", type=command.positive, default=16, help="pictures computed at once")
    add("--repeats", type=command.positive, default=3, help="processes per side")
    known = [*RUNTIMES, BESIDE_TIMM]
    runtimes = f"comma-separated, some of {', '.join(known)}"
    add("--runtimes", type=command.names(known), default=list(_USUAL), help=runtimes)
    command.add_limits(parser)
    return parser


def _turn(turns: Turns, job: dict[str, Any], limits: measure.Limits, folder: Path) -> None:
    """Run both sides once; the first time, compare their logits."""
    runtime, loop = sides(turns.runtime)
    settings = framework_environment(runtime.keras_backend)
    paths = {}
    for task, outcomes in (("engine", turns.engines), ("loop", turns.loops)):
        paths[task] = folder / f"{task}.npy"
        more = {"task": task, "runtime": runtime.name, "loop": loop, "logits": str(paths[task])}
        outcomes.append(measure.run(_WORKER, job | more, limits, settings))
        if outcomes[-1].error:
            return
    if turns.difference is None:
        engine, loop = (np.load(path) for path in paths.values())
        turns.difference = float(np.abs(engine - loop).max() / np.abs(engine).max())


if __name__ == "__main__":
    raise SystemExit(main())

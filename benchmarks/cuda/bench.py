"""Everything that is measured on an NVIDIA GPU, in one command and about eight minutes.

    python -m benchmarks.cuda --out build/cuda --markdown docs/measured/cuda.md

- *Parity*: every runtime in every lane on the GPU, the strict lane on the CPU too and both beside
  each other: ``report.json`` and ``report.html`` in the folder, as ``vgg16 parity`` writes them.
- *Throughput*: every runtime in every lane at three batch sizes, beside the roofline: the floating
  point operations of an image over the rate of a large matrix product in the same mode, measured
  in PyTorch. ``throughput.json`` in the folder.
- *Targets*: ONNX Runtime and PyTorch within 25 % of each other; the strict lane below R and Z.

What is not installed, or does not find the GPU, is a row with the reason. Nothing is started after
``--seconds``; what was not is a row too. Each measurement is a process of its own; images are on
the device before the clock starts, it stops when the logits are there, three runs come before, and
times are medians. The roofline of a lane is that of the mode that it is judged by: ``default`` is
held against TF32's, though PyTorch's own default has IEEE matrix products.

``--device cpu`` runs all of it without a GPU, to try the command; ``--markdown`` is then refused.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.cuda import parity
from benchmarks.cuda import report as cuda_report
from benchmarks.cuda.report import Results, Throughput
from benchmarks.harness import machine, measure
from benchmarks.harness.measure import Limits, Outcome
from vgg16_parity.records import Report
from vgg16_parity.report.json import to_json
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.lanes import LANES, Device, lane
from vgg16_parity.runtimes.process import ExportJob, RunJob
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime, runtime
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.images.photographs import PHOTOGRAPHS

_WORKER: Final = "benchmarks.cuda.worker"
_PACKAGES: Final = (
    "torch",
    "jax",
    "jaxlib",
    "keras",
    "tensorflow",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
)
# What counts most comes first: time may run out.
_ORDER: Final = ("strict", "tf32", "default", "bfloat16", "float16")
# How much of the time the parity half may take before it starts nothing more.
_SHARE: Final = 0.55
_SIDE: Final = {"cpu": 1024, "cuda": 8192}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; 1 where parity or a target is missed, 2 where nothing can be measured."""
    chosen = _parser().parse_args(arguments)
    try:
        bench = _Bench(chosen)
        results = bench.run()
        _write(results, bench.report, chosen)
    except BadInput as refusal:
        print(f"benchmarks.cuda: {refusal}", file=sys.stderr)
        return 2
    missed = [target for target in results.targets if target.reached is False]
    return 1 if missed or not bench.report.holds else 0


class _Bench:
    """One run of the command."""

    report: Report

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self._device: Device = chosen.device
        if chosen.markdown is not None and self._device != "cuda":
            raise BadInput("--markdown", "is asked for without a GPU", "--device cuda")
        if chosen.markdown is not None:
            cuda_report.inserted(chosen.markdown, "")  # refused before the minutes, not after
        self._runtimes = [runtime(name) for name in chosen.runtimes.split(",")]
        lanes = [lane(name).name for name in chosen.lanes.split(",")]
        self._lanes = [name for name in _ORDER if name in lanes]
        self._start = time.monotonic()
        self._limits = Limits(chosen.seconds, int(chosen.memory_limit * 2**30))

    def run(self) -> Results:
        """Measure everything there is time for."""
        card = self._card()
        checkpoint = seeded_checkpoint(self._chosen.configuration)
        self.report = parity.run(
            checkpoint,
            [photograph.path for photograph in PHOTOGRAPHS],
            self._runtimes,
            self._lanes,
            self._device,
            deadline=self._start + _SHARE * self._chosen.seconds,
            progress=_said,
        )
        rates = self._rates()
        measured = self._throughput(checkpoint)
        return Results(
            configuration=checkpoint.configuration.name,
            device=self._device,
            facts=card | machine.describe(_PACKAGES, self._chosen.date),
            operations=2 * configuration(checkpoint.configuration.name).multiply_adds(),
            rates=rates,
            throughput=tuple(measured),
            targets=(
                *cuda_report.speed_targets(measured),
                *cuda_report.parity_targets(self.report),
            ),
        )

    def _card(self) -> dict[str, str]:
        """What the GPU is. Raises ``BadInput`` where there is none that anything can use."""
        if self._device == "cpu":
            return {}
        driver = cuda_report.driver()
        outcome = self._worker({"task": "card"}, "default", RUNTIMES["torch"])
        if outcome.error and not driver:
            expected = "an NVIDIA GPU, its driver and PyTorch with CUDA"
            raise BadInput("--device cuda", f"no GPU is found ({outcome.error})", expected)
        return {**{name: str(value) for name, value in outcome.result.items()}, **driver}

    def _rates(self) -> dict[str, float]:
        """Mode -> FLOP/s of a large matrix product; without the modes that have none here."""
        found: dict[str, float] = {}
        for name in self._lanes:
            mode = LANES[name].mode(self._device)
            if mode is None or mode.name in found:
                continue
            with _said(f"matrix rate: {mode.name}"):
                side = self._chosen.side or _SIDE[self._device]
                job = {"task": "rate", "size": side, "seconds": self._chosen.each}
                # PyTorch's default lane has products in IEEE float32, though it is judged by TF32.
                measured_in = "tf32" if mode.name == "tf32" else name
                outcome = self._worker(job, measured_in, RUNTIMES["torch"])
            if outcome.error:
                print(f"matrix rate, {mode.name}: {outcome.error}", file=sys.stderr)
            else:
                found[mode.name] = outcome.result["flops"]
        return found

    def _throughput(self, checkpoint: Checkpoint) -> list[Throughput]:
        measured: list[Throughput] = []
        with tempfile.TemporaryDirectory(prefix="vgg16-cuda-") as folder:
            for name in self._lanes:
                mode = LANES[name].mode(self._device)
                for one in self._runtimes if mode is not None else []:
                    with _said(f"throughput: {one.name} ({name})"):
                        measured += self._one(checkpoint, one, name, Path(folder))
        return measured

    def _one(
        self, checkpoint: Checkpoint, one: Runtime, name: str, folder: Path
    ) -> list[Throughput]:
        """A runtime in a lane: an entry for each batch size, or one that says why there is none."""
        mode = LANES[name].mode(self._device)
        assert mode is not None
        about = (one.name, name, mode.name)
        if reason := one.missing(self._device):
            return [Throughput(*about, reason=reason)]
        if time.monotonic() - self._start > self._chosen.seconds:
            return [Throughput(*about, reason="the time for all runs was over")]
        model = folder / f"{one.name}-{LANES[name].precision}"
        if one.onnx and LANES[name].precision != "bfloat16" and not model.exists():
            job = self._job(one, name, checkpoint, model, str(folder / f"export-{one.name}-{name}"))
            if error := process.work(job, timeout=self._left()).error:
                return [Throughput(*about, reason=error)]
        job_facts = {
            "task": "throughput",
            "runtime": one.name,
            "checkpoint": str(checkpoint.file.resolve()),
            "model": str(model),
            "batches": [int(number) for number in self._chosen.batches.split(",")],
            "seconds": self._chosen.each,
        }
        outcome = self._worker(job_facts, name, one)
        if outcome.error:
            return [Throughput(*about, reason=outcome.error.removeprefix("Unavailable: "))]
        return [
            Throughput(*about, entry["batch"], entry["seconds"], entry["runs"], entry["error"])
            for entry in outcome.result["batches"]
        ]

    def _worker(self, job: dict[str, Any], name: str, one: Runtime) -> Outcome:
        """One job in a process with the lane's environment."""
        environment = process.environment(RunJob(one, name, "", "", self._device, (), "logits"))
        limits = Limits(self._left(), self._limits.resident)
        job = {**job, "lane": name, "device": self._device}
        return measure.run(_WORKER, job, limits, environment, gpu=self._device == "cuda")

    def _job(
        self, one: Runtime, name: str, checkpoint: Checkpoint, model: Path, at: str
    ) -> ExportJob:
        file = str(checkpoint.file.resolve())
        return ExportJob(one, name, file, at, str(model))

    def _left(self) -> float:
        """The seconds that a process may still take; a few, where the time is nearly over."""
        left: float = self._start + self._chosen.seconds - time.monotonic()
        return max(5.0, left)


def _said(stage: str) -> nullcontext[None]:
    print(stage, file=sys.stderr, flush=True)
    return nullcontext()


def _write(results: Results, report: Report, chosen: argparse.Namespace) -> None:
    chosen.out.mkdir(parents=True, exist_ok=True)
    texts: dict[Path, str] = {
        chosen.out / "report.json": json.dumps(to_json(report), indent=2, allow_nan=False),
        chosen.out / "throughput.json": json.dumps(asdict(results), indent=2, allow_nan=False),
    }
    if find_spec("jinja2") is None:
        print("report.html is left out: jinja2 is not installed", file=sys.stderr)
    else:
        from vgg16_parity.report import html

        pictures = [photograph.path for photograph in PHOTOGRAPHS]
        texts[chosen.out / "report.html"] = html.page(report, pictures)
    text = cuda_report.markdown(results, report, _plotted(results, report, chosen))
    print(text)
    if chosen.markdown is not None:
        texts[chosen.markdown] = cuda_report.inserted(chosen.markdown, text)
    for path, content in texts.items():
        with whole_file(path) as temporary:
            temporary.write_text(content.rstrip("\n") + "\n", encoding="utf-8")


def _plotted(results: Results, report: Report, chosen: argparse.Namespace) -> dict[str, str]:
    """Draw into the folder, and beside the page: the page's pictures, name -> what each shows."""
    if find_spec("matplotlib") is None:
        print("plots are left out: matplotlib is not installed", file=sys.stderr)
        return {}
    from benchmarks.cuda import plot
    from benchmarks.harness import plots

    page: Path | None = chosen.markdown
    found = {}
    for name, figure in plot.figures(results, report).items():
        plots.write(figure, chosen.out / name)
        shown = name
        if page is not None:
            shown = f"{page.stem}-{name}"
            plots.write(figure, page.with_name(shown))
        found[shown] = plot.CAPTIONS[name]
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add: Callable[..., object] = parser.add_argument
    add("--out", type=Path, default=Path("build/cuda"), help="the folder that is written")
    add("--markdown", type=Path, help="the page whose measured part is written anew")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="where to measure")
    add("--configuration", default="D", help="the network")
    add("--runtimes", default=",".join(RUNTIMES), help="which, with commas")
    add("--lanes", default=",".join(_ORDER), help="which, with commas")
    add("--batches", default="1,32,256", help="images at once, with commas")
    add("--each", type=float, default=1.0, help="seconds to measure each for, at most 50 runs")
    add("--side", type=int, default=0, help="of the matrices whose product is timed")
    add("--seconds", type=float, default=450.0, help="after which nothing more is started")
    add("--memory-limit", type=float, default=64.0, help="GiB that a worker may hold")
    add("--date", default=datetime.date.today().isoformat(), help="printed with the results")
    return parser

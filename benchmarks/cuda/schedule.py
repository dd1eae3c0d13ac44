"""The stages of ``benchmarks.cuda``: what counts most comes first, because time may run out."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.cuda.output import Output
from benchmarks.cuda.parity import OVER, Parity
from benchmarks.cuda.results import Results, Tests, Throughput
from benchmarks.harness import machine, measure
from benchmarks.harness.command import say
from benchmarks.harness.measure import Limits, Outcome
from vgg16_parity.runtimes import process
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES, Device, Lane
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS

_ROOT: Final = Path(__file__).parents[2]
_TESTS: Final = _ROOT / "parity_tests" / "vgg16_parity" / "test_cuda.py"
_WORKER: Final = "benchmarks.cuda.worker"
_PACKAGES: Final = (
    *("torch", "jax", "jaxlib", "keras", "tensorflow"),
    *("onnx", "onnxruntime", "onnxruntime-gpu", "numpy"),
)
ORDER: Final = ("strict", "tf32", "default", "bfloat16", "float16")
STAGES: Final[tuple[tuple[Literal["parity", "throughput"], tuple[str, ...]], ...]] = (
    ("parity", ("strict",)),
    ("parity", ("tf32", "default")),
    ("throughput", ("strict", "tf32", "default")),
    ("parity", ("bfloat16", "float16")),
    ("throughput", ("bfloat16", "float16")),
)
_SIDE: Final = {"cpu": 256, "cuda": 8192}
_RATE_SECONDS: Final = 60.0


class Schedule:
    """One run of the command.

    Args:
        chosen: the command's options.
        output: receives the results as they come.

    Raises:
        BadInput: no GPU is found.
    """

    def __init__(self, chosen: argparse.Namespace, output: Output) -> None:
        self._chosen = chosen
        self._output = output
        self._device: Device = chosen.device
        self._runtimes = [RUNTIMES[name] for name in chosen.runtimes]
        self._start = time.monotonic()
        self._memory = int(chosen.memory_limit * 2**30)
        gpu = self._gpu()
        self._checkpoint = seeded_checkpoint(chosen.configuration)
        self._parity = Parity(
            self._checkpoint,
            [photograph.path for photograph in PHOTOGRAPHS],
            self._device,
            deadline=self._start + chosen.seconds,
            progress=self._say,
            at_once=chosen.at_once,
            at_most=chosen.at_most,
        )
        self.results = Results(
            configuration=chosen.configuration,
            device=self._device,
            facts=gpu | machine.measurement_facts(_PACKAGES, chosen.date),
            operations=2 * configuration(chosen.configuration).multiply_adds(),
            report=self._parity.report,
        )

    def run(self) -> None:
        """Run the stages, and write every result when it is there."""
        with tempfile.TemporaryDirectory(prefix="vgg16-cuda-") as folder:
            for kind, names in STAGES:
                lanes = [LANES[name] for name in names if name in self._chosen.lanes]
                lanes = [lane for lane in lanes if lane.mode(self._device) is not None]
                if lanes:
                    stage = self._judge if kind == "parity" else self._time
                    for _ in stage(lanes, Path(folder)):
                        self._output.save(self.results)
                    self._output.publish(self.results, draw=False)
        if self._chosen.tests:
            self._test()

    def stop(self) -> None:
        """Note that the run was stopped."""
        self.results.stopped = f"after {time.monotonic() - self._start:.0f} s"

    def _judge(self, lanes: Sequence[Lane], _folder: Path) -> Iterator[None]:
        for _ in self._parity.judge(self._runtimes, lanes):
            self.results.report = self._parity.report
            yield

    def _time(self, lanes: Sequence[Lane], folder: Path) -> Iterator[None]:
        for lane in lanes:
            self._measure_rate(lane)
            for runtime in self._runtimes:
                self._say(f"throughput: {runtime.name} ({lane.name})")
                self.results.throughput += self._throughput(runtime, lane, folder)
                yield

    def _gpu(self) -> dict[str, str]:
        """The GPU's name, driver and libraries; nothing on the CPU."""
        if self._device == "cpu":
            return {}
        outcome = self._worker({"task": "card"}, "default", RUNTIMES["torch"])
        if not outcome.result:
            expected = "an NVIDIA GPU, its driver and PyTorch with CUDA"
            raise BadInput("--device cuda", f"no GPU is found ({outcome.error})", expected)
        return {name: str(value) for name, value in outcome.result.items()}

    def _measure_rate(self, lane: Lane) -> None:
        """Measure the FLOP/s of a large matrix product in the lane's mode, once per mode."""
        mode = lane.mode(self._device)
        if mode is None or mode.name in self.results.rates or self._left() <= 0:
            return
        self._say(f"matrix rate: {mode.name}")
        side = self._chosen.side or _SIDE[self._device]
        job = {"task": "rate", "size": side, "seconds": self._chosen.each}
        # The lane default is judged as TF32, but PyTorch's own default computes in IEEE float32.
        measured_in = "tf32" if mode.name == "tf32" else lane.name
        outcome = self._worker(job, measured_in, RUNTIMES["torch"], at_most=_RATE_SECONDS)
        if outcome.error:
            self._say(f"matrix rate, {mode.name}: {outcome.error}")
        else:
            self.results.rates[mode.name] = outcome.result["flops"]

    def _throughput(self, runtime: Runtime, lane: Lane, folder: Path) -> list[Throughput]:
        """An entry for each batch size, or one with the reason why there is none."""
        mode = lane.mode(self._device)
        assert mode is not None
        about = (runtime.name, lane.name, mode.name)
        if reason := runtime.missing(self._device):
            return [Throughput(*about, reason=reason)]
        if self._left() <= 0:
            return [Throughput(*about, reason=OVER)]
        model = folder / f"{runtime.name}-{lane.precision}"
        checkpoint = str(self._checkpoint.file.resolve())
        if runtime.onnx and lane.precision != "bfloat16" and not model.exists():
            place = str(folder / f"export-{runtime.name}-{lane.name}")
            job = Job("export", runtime, lane.name, checkpoint, place, model=str(model))
            if error := process.work(job, timeout=self._left()).error:
                return [Throughput(*about, reason=error)]
        outcome = self._worker(
            {
                "task": "throughput",
                "runtime": runtime.name,
                "checkpoint": checkpoint,
                "model": str(model),
                "batches": [int(number) for number in self._chosen.batches.split(",")],
                "seconds": self._chosen.each,
            },
            lane.name,
            runtime,
        )
        measured = [
            Throughput(*about, entry["batch"], entry["seconds"], entry["runs"], entry["error"])
            for entry in outcome.result.get("batches", [])
        ]
        reason = outcome.error.removeprefix("Unavailable: ")
        return [*measured, Throughput(*about, reason=reason)] if reason else measured

    def _test(self) -> None:
        """Run the tests that need a GPU; their output is ``tests.txt``."""
        if self._left() <= 0:
            self.results.tests = Tests(None, OVER)
            return
        self._say("tests: pytest -m cuda")
        # Without the project's own options, which need pytest-xdist.
        options = ["-v", "-m", "cuda", f"--device={self._device}", "--override-ini=addopts="]
        if find_spec("xdist") is not None:
            options += [f"-n{self._chosen.at_once}", "--dist=load"]
        command = [sys.executable, "-m", "pytest", *options, str(_TESTS)]
        log = self._output.folder / "tests.txt"
        try:
            with log.open("w", encoding="utf-8") as file:
                status = subprocess.run(
                    command,
                    cwd=_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    check=False,
                    timeout=self._left(),
                ).returncode
        except subprocess.TimeoutExpired:
            self.results.tests = Tests(None, "not finished in time")
            return
        lines = log.read_text("utf-8", "replace").split("\n")
        self.results.tests = Tests(
            status, next(filter(None, reversed(lines)), "no output").strip("= ")
        )

    def _worker(
        self, job: dict[str, Any], lane: str, runtime: Runtime, at_most: float = float("inf")
    ) -> Outcome:
        """Do one job in a process with the lane's environment."""
        run = Job("run", runtime, lane, "", "", self._device)
        environment = process.environment(run)
        # A few seconds at least: a job that was started may still find that it cannot run.
        most = min(self._left(), at_most, self._chosen.at_most)
        limits = Limits(max(5.0, most), self._memory)
        job = {**job, "lane": lane, "device": self._device}
        return measure.run(_WORKER, job, limits, environment, gpu=self._device == "cuda")

    def _say(self, stage: str) -> AbstractContextManager[None]:
        """Name the stage that begins, and when."""
        return say(f"{time.monotonic() - self._start:4.0f} s: {stage}")

    def _left(self) -> float:
        """The seconds left for the run."""
        return self._start + float(self._chosen.seconds) - time.monotonic()

"""The stages of ``benchmarks.cuda``: what counts most comes first, because time may run out."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from benchmarks.cuda.output import Output
from benchmarks.cuda.parity import Parity
from benchmarks.cuda.results import Results, Tests
from benchmarks.cuda.throughput import Speed, work, worker_limits
from benchmarks.harness import machine
from benchmarks.harness.command import say
from benchmarks.harness.measure import OVER
from vgg16_parity.runtimes.lanes import LANES, Device
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS

_ROOT: Final = Path(__file__).parents[2]
_TESTS: Final = tuple(
    _ROOT / "parity_tests" / name / "test_cuda.py" for name in ("vgg16_parity", "onnx_arbiter")
)
_PACKAGES: Final = (
    *("torch", "jax", "jaxlib", "keras", "tensorflow"),
    *("onnx", "onnxruntime", "onnxruntime-gpu", "numpy"),
)
ORDER: Final = ("strict", "tf32", "default", "bfloat16", "float16")
# The two parts of the tests.
_TINY, _FULL = "tiny network", "full size"
STAGES: Final[tuple[tuple[Literal["parity", "throughput", "tests"], tuple[str, ...]], ...]] = (
    ("parity", ("strict",)),
    ("parity", ("tf32", "default")),
    ("throughput", ("strict", "tf32", "default")),
    ("parity", ("bfloat16", "float16")),
    ("throughput", ("bfloat16", "float16")),
    ("tests", (_TINY, _FULL)),
)
_MARKS: Final = {_TINY: "cuda and not full", _FULL: "cuda and full"}


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
        self._deadline = self._start + float(chosen.seconds)
        gpu = self._gpu()
        self._checkpoint = seeded_checkpoint(chosen.configuration)
        self._parity = Parity(
            self._checkpoint,
            [photograph.path for photograph in PHOTOGRAPHS],
            self._device,
            deadline=self._deadline,
            progress=self._say,
            at_once=chosen.at_once,
            at_most=chosen.at_most,
        )
        self._speed = Speed(chosen, self._checkpoint, deadline=self._deadline, progress=self._say)
        self.results = Results(
            configuration=chosen.configuration,
            device=self._device,
            facts=gpu | machine.measurement_facts(_PACKAGES, chosen.date),
            operations=2 * configuration(chosen.configuration).multiply_adds(),
            report=self._parity.report,
            rates=self._speed.rates,
            throughput=self._speed.entries,
        )

    def run(self) -> None:
        """Run the stages, and write every result when it is there."""
        with tempfile.TemporaryDirectory(prefix="vgg16-cuda-") as folder:
            for kind, names in STAGES:
                with closing(self._stage(kind, names, Path(folder))) as steps:
                    grown = False
                    for _ in steps:
                        self._output.save(self.results)
                        grown = True
                if grown:
                    self._output.publish(self.results, draw=False)

    def stop(self) -> None:
        """Note that the run was stopped."""
        self.results.stopped = f"after {time.monotonic() - self._start:.0f} s"

    def _stage(self, kind: str, names: Sequence[str], folder: Path) -> Generator[None, None, None]:
        """Run one of the stages; yields when the results have grown."""
        if kind == "tests":
            for name in names if self._chosen.tests else ():
                self.results.tests[name] = self._test(_MARKS[name])
                yield
            return
        lanes = [LANES[name] for name in names if name in self._chosen.lanes]
        lanes = [lane for lane in lanes if lane.mode(self._device) is not None]
        if kind == "throughput":
            yield from self._speed.measure(self._runtimes, lanes, folder)
            return
        for _ in self._parity.judge(self._runtimes, lanes) if lanes else ():
            self.results.report = self._parity.report
            yield

    def _gpu(self) -> dict[str, str]:
        """The GPU's name, driver and libraries; nothing on the CPU."""
        if self._device == "cpu":
            return {}
        limits = worker_limits(self._chosen)
        outcome = work({"task": "card"}, "default", RUNTIMES["torch"], self._device, limits)
        if not outcome.result:
            expected = "an NVIDIA GPU, its driver and PyTorch with CUDA"
            raise BadInput("--device cuda", f"no GPU is found ({outcome.error})", expected)
        return {name: str(value) for name, value in outcome.result.items()}

    def _test(self, marks: str) -> Tests:
        """Run tests that need a GPU; their output is added to ``tests.txt``."""
        left = self._left()
        if left <= 0:
            return Tests(None, OVER)
        self._say(f'tests: pytest -m "{marks}"')
        # Without the project's own options, which need pytest-xdist.
        options = ["-v", "-m", marks, f"--device={self._device}", "--override-ini=addopts="]
        if find_spec("xdist") is not None:
            options += [f"-n{self._chosen.at_once}", "--dist=load"]
        command = [sys.executable, "-m", "pytest", *options, *map(str, _TESTS)]
        log = self._output.folder / "tests.txt"
        try:
            with log.open("a" if self.results.tests else "w", encoding="utf-8") as file:
                status = subprocess.run(
                    command,
                    cwd=_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    check=False,
                    timeout=left,
                ).returncode
        except subprocess.TimeoutExpired:
            return Tests(None, OVER)
        lines = log.read_text("utf-8", "replace").split("\n")
        return Tests(status, next(filter(None, reversed(lines)), "no output").strip("= "))

    def _say(self, stage: str) -> AbstractContextManager[None]:
        """Name the stage that begins, and when."""
        return say(f"{time.monotonic() - self._start:4.0f} s: {stage}")

    def _left(self) -> float:
        """The seconds left for the run."""
        return self._deadline - time.monotonic()

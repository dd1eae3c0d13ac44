"""The process that does one job of ``benchmarks.evaluate``: the engine's side, or the loop's."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate import loops, pictures
from benchmarks.harness import measure
from benchmarks.harness.worker import Recorder, serve
from onnx_arbiter.memory import peak_memory
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.registry import KNOWN
from vgg16_spec.checkpoint import open_checkpoint

_SAMPLE_SECONDS: Final = 0.01


def engine(job: Mapping[str, Any], recorder: Recorder) -> None:
    """One runtime through the engine, into a new folder."""
    checkpoint = open_checkpoint(job["checkpoint"], check_values=False)
    data = pictures.dataset(Path(job["pictures"]))
    with TemporaryDirectory() as folder, _children() as samples:
        found = evaluate(
            data, checkpoint, [KNOWN[job["runtime"]]], Path(folder) / "run", batch=job["batch"]
        )
        (entry,) = found.runtimes
        if entry.status != "measured":
            raise RuntimeError(entry.reason)
        np.save(job["logits"], entry.logits())
        last = entry.files[-1].stat().st_mtime
    # The last process is the worker. Before it computes it loads; after that libraries shut down.
    worker = list(samples.values())[-1]
    spent = entry.seconds["wait"] + entry.seconds["run"]
    computing = [held for at, held in worker if last - spent <= at <= last]
    weights = sum(4 * checkpoint[name].size for name in checkpoint)
    recorder.result |= {
        "seconds": spent,
        "above_weights": max(computing) - weights,
        "peak_above_weights": entry.peak_bytes - weights,
        "main": peak_memory(),
    }


@contextmanager
def _children() -> Iterator[dict[int, list[tuple[float, int]]]]:
    """Sample the resident memory of this process's children: process -> (time, bytes) each."""
    samples: dict[int, list[tuple[float, int]]] = {}
    ended = Event()

    def sample() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            # They are children of the main thread, which starts them.
            main = next(iter(sorted(Path("/proc/self/task").iterdir(), key=lambda p: int(p.name))))
            for process in map(int, (main / "children").read_text().split()):
                if held := measure.memory(process).resident:
                    samples.setdefault(process, []).append((time.time(), held))

    with ThreadPoolExecutor(1) as beside:
        done = beside.submit(sample)
        try:
            yield samples
        finally:
            ended.set()
            done.result()


def loop(job: Mapping[str, Any], recorder: Recorder) -> None:
    """The same pictures in a hand-written loop."""
    run = loops.LOOPS[job["loop"]](job)
    start = time.perf_counter()
    logits: NDArray[Any] = run()
    recorder.result["seconds"] = time.perf_counter() - start
    np.save(job["logits"], logits)


if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], {"engine": engine, "loop": loop}))

"""The process that does one job of ``benchmarks.cuda``: ``python -m benchmarks.cuda.worker``.

Tasks: ``card`` describes the GPU; ``rate`` measures a large matrix product, ``copy`` a copy on the
card; ``throughput`` runs one runtime in one lane at several batch sizes, ``kernels`` lists the
kernels that it calls; ``rounding`` shows how a lane rounds operands. Beside other workers, one
uses the GPU at a time: timed runs, their warm-up and profiled runs hold the job's lock, while
imports and loading do not.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.cuda.forward import Step, step
from benchmarks.cuda.rounding import rounding
from benchmarks.harness.worker import Recorder, serve
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_parity.runtimes.worker import loader
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_spec.files.apart import end_with_parent

_CHANNELS: Final = 3
_SEED: Final = 20140904
_WARM_UP: Final = 3
_FEWEST, _MOST = 5, 50
_COPY_SECONDS: Final = 1.0


def card(_job: Mapping[str, Any], recorder: Recorder) -> None:
    """The GPU as reported by ``nvidia-smi`` and, if PyTorch can use it, by PyTorch."""
    if command := shutil.which("nvidia-smi"):
        query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, check=False, text=True, timeout=60)
        if found.returncode == 0:
            first = found.stdout.strip().partition("\n")[0].split(", ")
            recorder.result |= dict(zip(("card", "driver"), first, strict=False))
    import torch

    settings.configure_torch(LANES["default"], "cuda")
    facts = torch.cuda.get_device_properties(0)
    recorder.result |= {
        "card": facts.name,
        "GPU memory": f"{facts.total_memory / 2**30:.0f} GiB",
        "compute capability": f"{facts.major}.{facts.minor}",
        "CUDA of PyTorch": str(torch.version.cuda),
        "cuDNN of PyTorch": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
    }


def rate(job: Mapping[str, Any], recorder: Recorder) -> None:
    """The FLOP/s of a product of two square matrices in PyTorch, in the lane's mode."""
    import torch

    lane, size = LANES[job["lane"]], job["size"]
    settings.configure_torch(lane, job["device"])
    kind = getattr(torch, lane.precision)
    generator = torch.Generator(device=job["device"]).manual_seed(_SEED)
    a, b = (
        torch.randn(size, size, device=job["device"], dtype=kind, generator=generator)
        for _ in range(2)
    )

    def run() -> None:
        torch.mm(a, b)
        if a.is_cuda:
            torch.cuda.synchronize()

    with recorder.alone(job["lock"]):
        seconds = timed(run, job["seconds"])
    recorder.result["flops"] = 2 * size**3 / statistics.median(seconds)


def throughput(job: Mapping[str, Any], recorder: Recorder) -> None:
    """The median seconds of a run at each batch size that fits."""
    prepare, flags = _prepared(job)
    recorder.result |= {"flags": flags, "batches": []}
    with recorder.alone(job["lock"]):
        for batch in job["batches"]:
            found = _median(partial(prepare, batch), job["seconds"])
            recorder.result["batches"].append({"batch": batch} | found)
            recorder.write()  # a larger batch may be the end of the process
            gc.collect()


def kernels(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Batch size -> each kernel of a forward pass and its microseconds, in order."""
    prepare, _ = _prepared(job)
    with recorder.alone(job["lock"]):
        for batch in job["batches"]:
            recorder.result[str(batch)] = profiled(prepare(batch))
            recorder.write()  # a larger batch may be the end of the process
            gc.collect()


def profiled(run: Step) -> list[tuple[str, float]]:
    """Each kernel that the second of two runs calls on the GPU, and its microseconds, in order."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    if torch.cuda.is_available():
        torch.cuda.init()  # type: ignore[no-untyped-call] # another framework's kernels, too
    run()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        run()
    events: list[Any] = list(found.events())
    return [
        (event.name, event.device_time_total)
        for event in events
        if event.device_type.name == "CUDA"
    ]


def rounded(job: Mapping[str, Any], recorder: Recorder) -> None:
    """How the lane rounds the operands of products and of convolutions in PyTorch."""
    settings.configure_torch(LANES[job["lane"]], job["device"])
    with recorder.alone(job["lock"]):
        recorder.result |= rounding(job["device"])


def copy(job: Mapping[str, Any], recorder: Recorder) -> None:
    """The bytes per second, read and written, of a copy on the card."""
    import torch

    source = torch.ones(job["bytes"], dtype=torch.uint8, device=job["device"])
    target = torch.empty_like(source)

    def run() -> None:
        target.copy_(source)
        if target.is_cuda:
            torch.cuda.synchronize()

    with recorder.alone(job["lock"]):
        seconds = timed(run, _COPY_SECONDS)
    recorder.result["copy"] = 2 * job["bytes"] / statistics.median(seconds)


def _prepared(job: Mapping[str, Any]) -> tuple[Callable[[int], Step], dict[str, str]]:
    """Load the runtime's network: batch size -> its forward pass; and the runtime's flags."""
    runtime = RUNTIMES[job["runtime"]]
    network: Any = loader(runtime)(
        Job(
            "run",
            runtime,
            job["lane"],
            job["checkpoint"],
            folder="",
            device=job["device"],
            depth="logits",
            model=job["model"],
        )
    )
    size = open_checkpoint(job["checkpoint"], check_values=False).configuration.input_size
    noise = np.random.Generator(np.random.Philox(_SEED))
    largest = (max(job["batches"]), _CHANNELS, size, size)
    images = noise.standard_normal(largest, np.float32)

    def prepare(batch: int) -> Step:
        return step(runtime, network.network, job["device"], images[:batch])

    return prepare, network.flags


def _median(prepare: Callable[[], Step], seconds: float) -> dict[str, Any]:
    """The median of several runs, or why there is none."""
    try:
        found = timed(prepare(), seconds)
    except Exception as refusal:  # a batch that does not fit is a row of the report
        first_line = str(refusal).strip().partition("\n")[0]
        return {"seconds": 0.0, "runs": 0, "error": f"{type(refusal).__name__}: {first_line}"}
    return {"seconds": statistics.median(found), "runs": len(found), "error": ""}


def timed(run: Step, seconds: float) -> list[float]:
    """The times of several runs after a warm-up; ``run`` returns when it is done."""
    for _ in range(_WARM_UP):
        run()
    found: list[float] = []
    while len(found) < _MOST and (len(found) < _FEWEST or sum(found) < seconds):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def main(job_file: str) -> int:
    """Do the job; the exit status is 1 if it failed."""
    tasks = {"card": card, "rate": rate, "copy": copy, "throughput": throughput}
    return serve(job_file, tasks | {"kernels": kernels, "rounding": rounded})


if __name__ == "__main__":
    end_with_parent()
    raise SystemExit(main(sys.argv[1]))

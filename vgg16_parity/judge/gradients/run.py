"""Gradients and a step of SGD in a worker process, added to a row of the report."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np

from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients import verdicts
from vgg16_parity.network import sgd_step
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_parity.records import Row
from vgg16_parity.runtimes.exchange import opened
from vgg16_parity.runtimes.process import GradientJob, Record, RunJob, work
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec.checkpoint import Checkpoint


def applies(runtime: Runtime, mode: Mode) -> bool:
    """Whether a runtime has gradients, and computes in float32: no other mode is modelled."""
    return not (runtime.onnx or runtime.port) and mode.name == "float32"


def add_gradients(
    row: Row,
    job: RunJob,
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    timeout: float | None,
) -> Row:
    """The row with the gradients' verdicts, its status and its reason changed where they break it.

    Args:
        row: what the forward pass found; its own reason stays first.
        job: the forward pass's job.
        checkpoint: the job's.
        expectation: the arbiter's forward pass on the job's first case, with every tap.
        mode: the numeric mode to judge by.
        timeout: as for ``vgg16_parity.runtimes.process.work``.
    """
    np.save(expectation.folder / f"{sgd_step.LABELS}.npy", sgd_step.labels(expectation, mode))
    folder = f"{job.folder}-gradients"
    case = str(expectation.folder)
    backward = GradientJob(job.runtime, job.lane, job.checkpoint, folder, job.device, case)
    record = work(backward, timeout=timeout)
    together = _together(row.record or Record(), record)
    if record.error:
        reason = row.reason or f"gradients: {record.error}"
        status = "failed" if row.status == "holds" else row.status
        return replace(row, status=status, reason=reason, record=together)
    with opened(backward.result(case, "branch")) as taps:
        results = verdicts.Results(
            taps,
            verdicts.from_file(backward.result(case, "gradients")),
            verdicts.from_file(backward.result(case, "parameters")),
            verdicts.from_file(backward.result(case, "velocity")),
        )
        found, first, reason = verdicts.judge(checkpoint, expectation, mode, results)
    shutil.rmtree(folder)
    row = replace(row, gradients=found, record=together)
    if reason and row.status == "holds":
        row = replace(row, status="broken", reason=reason, first_wrong=first)
    return row


def _together(forward: Record, backward: Record) -> Record:
    """What it cost is the cost of both processes."""
    costs = {f"backward {stage}": seconds for stage, seconds in backward.seconds.items()}
    return replace(
        forward,
        seconds=forward.seconds | costs,
        peak_bytes=max(forward.peak_bytes, backward.peak_bytes),
    )

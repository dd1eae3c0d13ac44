"""Gradients and an SGD step, computed in a worker process and judged."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients import verdicts
from vgg16_parity.judge.row import Finding
from vgg16_parity.network import sgd_step
from vgg16_parity.records import GradientVerdict
from vgg16_parity.runtimes.process import Job, Record, work
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec.checkpoint import Checkpoint


def applies(runtime: Runtime, mode: Mode) -> bool:
    """Whether a runtime has gradients and computes in float32, the only mode that is modelled."""
    return not (runtime.onnx or runtime.port) and mode.name == "float32"


def run_gradients(
    job: Job,
    record: Record,
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    timeout: float | None,
) -> tuple[Record, tuple[GradientVerdict, ...], Finding | None]:
    """Compute gradients and an SGD step in a worker, and judge them.

    Args:
        job: the job of the forward pass.
        record: its record.
        checkpoint: the job's checkpoint.
        expectation: the arbiter's forward pass on the job's first case, with every tap.
        mode: the numeric mode that the runtime computes in.
        timeout: seconds after which the worker is killed; None waits forever.

    Returns:
        The record with the cost of both workers, one verdict per tensor, and what is wrong.
    """
    case = str(expectation.folder)
    np.save(expectation.folder / f"{sgd_step.LABELS}.npy", sgd_step.labels(expectation))
    folder = f"{job.folder}-gradients"
    again = replace(job, task="gradients", folder=folder, cases=(case,))
    backward = work(again, timeout=timeout)
    costs = {f"backward {stage}": seconds for stage, seconds in backward.seconds.items()}
    peak_bytes = max(record.peak_bytes, backward.peak_bytes)
    record = replace(record, seconds=record.seconds | costs, peak_bytes=peak_bytes)
    if backward.error:
        return record, (), Finding(f"gradients: {backward.error}", status="failed")
    results = verdicts.Results(
        again.result(case, "branch"),
        again.result(case, "gradients"),
        again.result(case, "parameters"),
        again.result(case, "velocity"),
    )
    found, finding = verdicts.judge_gradients(checkpoint, expectation, mode, results)
    shutil.rmtree(folder)
    return record, found, finding

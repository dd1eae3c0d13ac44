"""Gradients and an SGD step: computed in a worker process, read in blocks of rows, and judged."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.compare import MISSING, Verdict, combine_blocks, compare_with_arbiter, refused
from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.limits import GRADIENT_LIMITS, STEP_LIMITS, Limits
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients.activation_pattern import (
    ActivationPattern,
    first_unexplained_flip,
    rectified,
)
from vgg16_parity.judge.gradients.backward import IMAGES, Block, backward
from vgg16_parity.judge.row import Finding, wrong_gradient
from vgg16_parity.network import sgd_step
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.process import work
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.verdicts import GradientVerdict
from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Results:
    """A runtime's results of one case: tensors by canonical name, in canonical layout.

    They may be mapped files: a tensor is looked up anew for each block of its rows, because the
    pages of a file that stays mapped count as this process's memory.

    Attributes:
        taps: the values of every layer with a ReLU, in the pass that the gradients belong to.
        gradients: of every parameter, and of the images under ``backward.IMAGES``.
        parameters, velocity: after the step.
    """

    taps: Tensors
    gradients: Tensors
    parameters: Tensors
    velocity: Tensors


def applies(runtime: Runtime, mode: Mode) -> bool:
    """Whether a runtime has gradients and computes in float32, the only mode that is modelled."""
    return runtime.trains and mode.name == "float32"


def run_gradients(
    job: Job,
    record: Record,
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    timeout: float | None,
) -> tuple[Record, tuple[GradientVerdict, ...], Finding | None]:
    """Compute gradients and an SGD step in a worker, and judge them.

    ``job`` and ``record`` are those of the forward pass; ``expectation`` has every tap of its first
    case. Returns the record with the cost of both workers, one verdict per tensor, and what is
    wrong.
    """
    case = str(expectation.folder)
    np.save(expectation.folder / f"{sgd_step.LABELS}.npy", sgd_step.labels(expectation))
    folder = f"{job.folder}-gradients"
    again = replace(job, task="gradients", folder=folder, cases=(case,))
    done = work(again, timeout=timeout)
    costs = {f"backward {stage}": seconds for stage, seconds in done.seconds.items()}
    peak_bytes = max(record.peak_bytes, done.peak_bytes)
    record = replace(record, seconds=record.seconds | costs, peak_bytes=peak_bytes)
    if done.error:
        return record, (), Finding(f"gradients: {done.error}", status="failed")
    results = Results(
        again.result(case, "branch"),
        again.result(case, "gradients"),
        again.result(case, "parameters"),
        again.result(case, "velocity"),
    )
    verdicts, finding = judge_gradients(checkpoint, expectation, mode, results)
    shutil.rmtree(folder)
    return record, verdicts, finding


def judge_gradients(
    checkpoint: Checkpoint, expectation: ArbiterCase, mode: Mode, results: Results
) -> tuple[tuple[GradientVerdict, ...], Finding | None]:
    """Every tensor's verdict, from the logits down, and what is wrong first.

    An activation pattern that rounding does not explain is what is wrong first. The gradients are
    still judged along that pattern, unless a tap is missing or of another shape.
    """
    pattern = ActivationPattern(results.taps)
    flip = first_unexplained_flip(pattern, checkpoint.configuration, expectation, mode)
    shapes = {tap: values.shape for tap, values in results.taps.items()}
    taps = rectified(checkpoint.configuration)
    if any(shapes.get(tap) != expectation.preactivation(tap).shape for tap in taps):
        return (), flip
    verdicts = tuple(_verdicts(checkpoint, expectation, mode, pattern, results))
    if flip is not None:
        reason = f"in the forward pass of the gradients, {flip.reason}"
        return verdicts, replace(flip, reason=reason)
    finding = wrong_gradient(verdicts)
    known = {verdict.tensor for verdict in verdicts}
    unknown = {*results.gradients, *results.parameters, *results.velocity} - known
    if finding is None and unknown:
        finding = Finding(f"no parameter is called {', '.join(sorted(unknown))}")
    return verdicts, finding


def _verdicts(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    pattern: ActivationPattern,
    results: Results,
) -> Iterator[GradientVerdict]:
    judged = {
        "gradient": (results.gradients, GRADIENT_LIMITS),
        "parameter": (results.parameters, STEP_LIMITS),
        "velocity": (results.velocity, STEP_LIMITS),
    }
    shapes = checkpoint.configuration.weight_shapes | {IMAGES: expectation.case.images.shape}
    labels, before = sgd_step.labels(expectation), sgd_step.velocity(checkpoint)
    blocks = backward(checkpoint, expectation, mode, pattern, labels)
    for name, of_tensor in groupby(blocks, key=attrgetter("tensor")):
        shape = shapes[name]
        found = defaultdict[str, list[tuple[int, int, Verdict]]](list)
        for block in of_tensor:
            expected = {"gradient": block.gradient}
            if name != IMAGES:
                gradient, own = block.gradient.values, results.gradients.get(name)
                if own is not None and own.shape == shape:
                    # A wrong gradient is reported once: the step is judged from the runtime's own.
                    gradient = own[block.rows]
                weight, velocity = checkpoint[name][block.rows], before[name][block.rows]
                stepped = sgd_step.step(weight, gradient, velocity, mode)
                expected["parameter"], expected["velocity"] = stepped
            for kind, values in expected.items():
                tensors, limits = judged[kind]
                verdict = _compared(tensors.get(name), shape, block, values, mode, limits)
                found[kind].append((block.rows.start, values.values.size, verdict))
        if name == IMAGES:
            ((_, _, verdict),) = found["gradient"]  # they come whole
            yield GradientVerdict(name, verdict)
        else:
            whole = {kind: combine_blocks(found[kind], judged[kind][1]) for kind in found}
            yield GradientVerdict(name, **whole)


def _compared(
    tensor: NDArray[Any] | None,
    shape: Shape,
    block: Block,
    expected: ValueWithVariance,
    mode: Mode,
    limits: Limits,
) -> Verdict:
    """The verdict on a block of a tensor of this shape."""
    if tensor is None:
        return MISSING
    if tensor.shape != shape:
        return refused(f"its shape is {tensor.shape}, the arbiter's is {shape}")
    # R is computed for each entry of the first axis: a parameter counts as one image.
    axis = () if block.tensor == IMAGES else np.newaxis
    arrays = (tensor[block.rows], expected.values, expected.deviation(mode))
    observed, values, deviation = (array[axis] for array in arrays)
    return compare_with_arbiter(observed, values, deviation, limits=limits)

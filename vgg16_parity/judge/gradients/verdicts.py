"""A runtime's gradients and SGD step, read in blocks of rows and compared with the arbiter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter import compare
from onnx_arbiter.compare import Verdict
from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.limits import GRADIENT_LIMITS, LIMITS, STEP_LIMITS, Limits
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients.activation_pattern import (
    ActivationPattern,
    first_unexplained_flip,
    rectified,
)
from vgg16_parity.judge.gradients.backward import IMAGES, Block, backward
from vgg16_parity.judge.row import Finding, wrong_gradient
from vgg16_parity.network import sgd_step
from vgg16_parity.records import GradientVerdict
from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Results:
    """A runtime's results of one case: tensors by canonical name, in canonical layout.

    They may be mapped files: a tensor is looked up anew for each block of its rows, because the
    pages of a file that stays mapped count as this process's memory.

    Attributes:
        taps: the values of every layer with a ReLU, in the pass that the gradients belong to.
        gradients: of every parameter, and of the images under ``backward.IMAGES``.
        parameters: after the step.
        velocity: after the step.
    """

    taps: Arrays
    gradients: Arrays
    parameters: Arrays
    velocity: Arrays


def judge_gradients(
    checkpoint: Checkpoint, expectation: ArbiterCase, mode: Mode, results: Results
) -> tuple[tuple[GradientVerdict, ...], Finding | None]:
    """Every tensor's verdict, from the logits down, and what is wrong first.

    An activation pattern that rounding does not explain is what is wrong first. The gradients are
    still judged along that pattern, unless a tap is missing.
    """
    pattern = ActivationPattern(results.taps)
    network = checkpoint.configuration
    flip = first_unexplained_flip(pattern, network, expectation, mode, LIMITS.deviations)
    if any(tap not in results.taps for tap in rectified(network)):
        return (), flip
    verdicts = tuple(_verdicts(checkpoint, expectation, mode, pattern, results))
    if flip is not None:
        reason = f"in the pass of the gradients, {flip.reason}"
        return verdicts, Finding(reason, flip.first_wrong)
    known = {verdict.tensor for verdict in verdicts}
    unknown = {*results.gradients, *results.parameters, *results.velocity} - known
    finding = wrong_gradient(verdicts)
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
    velocity = sgd_step.velocity(checkpoint)
    blocks = backward(checkpoint, expectation, mode, pattern, sgd_step.labels(expectation))
    for name, rows in groupby(blocks, key=attrgetter("tensor")):
        if name == IMAGES:
            (block,) = rows
            shape = block.gradient.values.shape
            verdict = _compared(
                results.gradients, block, block.gradient, mode, GRADIENT_LIMITS, shape
            )
            yield GradientVerdict(tensor=name, gradient=verdict)
            return
        shape = checkpoint.configuration.weight_shapes[name]
        found: dict[str, list[tuple[int, int, Verdict]]] = {}
        for block in rows:
            gradient = block.gradient.values
            # The step is judged from the runtime's own gradient: a wrong one is reported once.
            stored = results.gradients.get(name)
            if stored is not None and stored.shape == shape:
                gradient = stored[block.rows]
            parameter, moved = sgd_step.step(
                checkpoint[name][block.rows], gradient, velocity[name][block.rows], mode
            )
            for kind, tensors, expected, limits in (
                ("gradient", results.gradients, block.gradient, GRADIENT_LIMITS),
                ("parameter", results.parameters, parameter, STEP_LIMITS),
                ("velocity", results.velocity, moved, STEP_LIMITS),
            ):
                verdict = _compared(tensors, block, expected, mode, limits, shape)
                found.setdefault(kind, []).append(
                    (block.start, block.gradient.values.size, verdict)
                )
        yield GradientVerdict(
            tensor=name,
            gradient=compare.combine_blocks(found["gradient"], GRADIENT_LIMITS),
            parameter=compare.combine_blocks(found["parameter"], STEP_LIMITS),
            velocity=compare.combine_blocks(found["velocity"], STEP_LIMITS),
        )


def _compared(
    tensors: Arrays,
    block: Block,
    expected: ValueWithVariance,
    mode: Mode,
    limits: Limits,
    shape: Shape,
) -> Verdict:
    """The verdict on a block of a tensor of this shape."""
    tensor = tensors.get(block.tensor)
    if tensor is None:
        return compare.MISSING
    if tensor.shape != shape:
        return compare.refused(f"its shape is {tensor.shape}, the arbiter's is {shape}")
    # R is computed for each entry of the first axis: a parameter counts as one image.
    axis = () if block.tensor == IMAGES else np.newaxis
    arrays = (tensor[block.rows], expected.values, expected.deviation(mode))
    observed, values, deviation = (array[axis] for array in arrays)
    return compare.compare_with_arbiter(observed, values, deviation, limits=limits)

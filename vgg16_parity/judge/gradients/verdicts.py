"""A runtime's gradients and its step of SGD, read block by block, and judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from onnx_arbiter import compare
from onnx_arbiter.compare import Verdict
from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.limits import LIMITS as FORWARD_LIMITS
from onnx_arbiter.limits import Limits, Tolerance
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients.activation_pattern import (
    ActivationPattern,
    first_unexplained_flip,
    rectified,
)
from vgg16_parity.judge.gradients.backward import IMAGES, Block, backward
from vgg16_parity.network import sgd_step
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_parity.records import GradientVerdict
from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import Checkpoint

LIMITS: Final = Limits(
    ratio=Tolerance(
        limit=4.0,
        reason=(
            "rms(error) over rms(predicted) of a tensor's gradient. The prediction takes errors as "
            "independent, but backwards one error from near the logits reaches every term of a "
            "sum: the 4 to 12 elements of a small bias vary like one draw. 230 seeds of the tiny "
            "network reached 2.1 in PyTorch, full size 0.6 in any runtime; a mistake, above 200."
        ),
    ),
    deviations=Tolerance(
        limit=20.0,
        reason=(
            "The largest error of one element. At the images, where errors of a few channels add "
            "up, 230 seeds of the tiny network reached 8.7, full size 3; a mistake, above 600."
        ),
    ),
)
STEP_LIMITS: Final = Limits(
    ratio=Tolerance(
        limit=2.0,
        reason=(
            "rms(error) over rms(predicted) of a tensor after a step from the runtime's own "
            "gradient: a dozen roundings. Those of the figures are the same for every element, so "
            "that they do not average out: 1 is expected. Weight decay left out lands above 700."
        ),
    ),
    deviations=Tolerance(
        limit=10.0,
        reason="The largest of 138 million errors that are uniform or normal: 6 would be expected.",
    ),
)

_MISSING: Final = "there is no such output"


class Tensor(Protocol):
    """What a runtime left of one tensor: an array, or one that is read row by row."""

    @property
    def shape(self) -> Shape:
        """Of all of it."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Results:
    """What a runtime made of a case: tensors by canonical name, in canonical layout.

    Attributes:
        taps: the values of every layer with a ReLU, in the pass that the gradients are of.
        gradients: of every parameter, and of the images under
            ``vgg16_parity.judge.gradients.backward.IMAGES``.
        parameters: after the step.
        velocity: after the step.
    """

    taps: Mapping[str, NDArray[Any]]
    gradients: Tensors
    parameters: Tensors
    velocity: Tensors


def judge(
    checkpoint: Checkpoint, expectation: ArbiterCase, mode: Mode, results: Results
) -> tuple[tuple[GradientVerdict, ...], str, str]:
    """Every tensor's verdict from the logits down, the first wrong one, and what is wrong.

    The last two are empty where nothing is. A layer is the first wrong where a runtime took a
    branch that rounding does not allow: what follows is then judged along that branch all the same,
    unless a tap is missing.
    """
    branch = ActivationPattern(results.taps)
    network = checkpoint.configuration
    reason = first_unexplained_flip(branch, network, expectation, mode, FORWARD_LIMITS.deviations)
    if any(tap not in results.taps for tap in rectified(network)):
        return (), reason.partition(":")[0], reason
    verdicts = tuple(_judged(checkpoint, expectation, mode, branch, results))
    known = {verdict.tensor for verdict in verdicts}
    unknown = {
        name
        for tensors in (results.gradients, results.parameters, results.velocity)
        for name in tensors
        if name not in known
    }
    if reason:
        return verdicts, reason.partition(":")[0], f"in the pass of the gradients, {reason}"
    first, reason = explained(verdicts)
    if unknown and not reason:
        return verdicts, "", f"no parameter is called {', '.join(sorted(unknown))}"
    return verdicts, first, reason


def explained(verdicts: tuple[GradientVerdict, ...]) -> tuple[str, str]:
    """The first wrong tensor, in backward order, and what is wrong; empty where nothing is."""
    for verdict in verdicts:
        if not verdict.gradient.passed:
            return verdict.tensor, f"the gradient of {verdict.tensor}: {verdict.gradient.reason}"
    for verdict in verdicts:
        for what, judged in (("velocity", verdict.velocity), ("value", verdict.parameter)):
            if judged is not None and not judged.passed:
                after = f"the {what} of {verdict.tensor} after a step of SGD"
                return verdict.tensor, f"{after}: {judged.reason}"
    return "", ""


def from_file(path: Path) -> dict[str, Tensor]:
    """A safetensors file's tensors, read row by row; empty where there is no file."""
    if not path.exists():
        return {}
    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    return {name: _Stored(path, name, shape) for name, shape in shapes.items()}


@dataclass(frozen=True)
class _Stored:
    path: Path
    name: str
    shape: Shape

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        # Opened for each block: an open file's pages would count as this process's memory.
        with safe_open(self.path, framework="numpy") as file:
            values: NDArray[Any] = file.get_slice(self.name)[rows]
        return values


def _judged(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    branch: ActivationPattern,
    results: Results,
) -> Iterator[GradientVerdict]:
    labels = sgd_step.labels(expectation, mode)
    before = sgd_step.velocity(checkpoint)
    tallies: dict[str, _Tally] = {}
    open_tensor = ""
    for block in backward(checkpoint, expectation, mode, branch, labels):
        if open_tensor and block.tensor != open_tensor:
            yield _verdict(open_tensor, tallies)
        open_tensor, name = block.tensor, block.tensor
        if name == IMAGES:
            shape = block.gradient.values.shape
            found = _compared(results.gradients, block, block.gradient, mode, LIMITS, whole=shape)
            yield GradientVerdict(name, found)
            return
        whole = checkpoint.configuration.weight_shapes[name]
        # A step is judged from the gradient that it was given, so that a wrong one is told once.
        given = block.gradient.values
        if name in results.gradients and tuple(results.gradients[name].shape) == whole:
            given = results.gradients[name][block.rows]
        stepped, moved = sgd_step.step(
            checkpoint[name][block.rows], given, before[name][block.rows], mode
        )
        for kind, tensors, signal, limits in (
            ("gradient", results.gradients, block.gradient, LIMITS),
            ("parameter", results.parameters, stepped, STEP_LIMITS),
            ("velocity", results.velocity, moved, STEP_LIMITS),
        ):
            if block.start == 0:
                tallies[kind] = _Tally(limits)
            tallies[kind].add(block, _compared(tensors, block, signal, mode, limits, whole=whole))


def _verdict(tensor: str, tallies: Mapping[str, _Tally]) -> GradientVerdict:
    return GradientVerdict(tensor, **{kind: tally.verdict() for kind, tally in tallies.items()})


def _compared(
    tensors: Tensors,
    block: Block,
    signal: ValueWithVariance,
    mode: Mode,
    limits: Limits,
    *,
    whole: Shape,
) -> Verdict:
    if block.tensor not in tensors:
        return _refused(_MISSING)
    tensor = tensors[block.tensor]
    if tuple(tensor.shape) != whole:
        return _refused(f"its shape is {tuple(tensor.shape)}, the arbiter's is {whole}")
    observed, values, deviation = tensor[block.rows], signal.values, signal.deviation(mode)
    if block.tensor != IMAGES:
        # A parameter is judged as a whole, as one image is.
        observed, values, deviation = (part[np.newaxis] for part in (observed, values, deviation))
    return compare.compare_with_arbiter(observed, values, deviation, limits=limits)


@dataclass
class _Tally:
    """The verdicts of a tensor's blocks, made one; the blocks themselves are let go of."""

    limits: Limits
    verdicts: list[Verdict] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, block: Block, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.starts.append(block.start)
        self.sizes.append(block.gradient.values.size)

    def verdict(self) -> Verdict:
        verdicts = self.verdicts
        for verdict in verdicts:
            if math.isinf(verdict.max_error):
                return verdict

        def rms(values: list[float]) -> float:
            return float(np.sqrt(np.average(np.square(values), weights=self.sizes)))

        error = rms([verdict.rms_error for verdict in verdicts])
        predicted = rms([verdict.rms_predicted for verdict in verdicts])
        start, worst = max(
            zip(self.starts, verdicts, strict=True), key=lambda entry: entry[1].deviations
        )
        ratio = error / predicted if error else 0.0
        reason = compare.beyond(ratio, worst.deviations, self.limits)
        return replace(
            worst,
            passed=not reason,
            ratio=ratio,
            max_error=max(verdict.max_error for verdict in verdicts),
            rms_error=error,
            rms_predicted=predicted,
            # Its first axis is the one that was put before the rows.
            worst=(start + worst.worst[1], *worst.worst[2:]),
            histogram=tuple(
                map(sum, zip(*(verdict.histogram for verdict in verdicts), strict=True))
            ),
            reason=reason,
        )


def _refused(reason: str) -> Verdict:
    inf = math.inf
    return Verdict(False, inf, inf, inf, inf, inf, reason=reason)

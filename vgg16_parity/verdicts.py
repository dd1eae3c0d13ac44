"""Verdicts on a run, case by case and layer by layer: the inner records of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from onnx_arbiter.compare import Verdict


@dataclass(frozen=True)
class LayerVerdict:
    """One tap of one case.

    Attributes:
        tap: the tap's name.
        accumulated: the tap of the runtime's own forward pass.
        local: the layer by itself, on the arbiter's input; null if it was not run so.
    """

    tap: str
    accumulated: Verdict
    local: Verdict | None = None


@dataclass(frozen=True)
class ProbeVerdict:
    """One layer by itself on dense inputs of both signs, which light every unit.

    Attributes:
        layer: the layer's name.
        local: its output for the probe.
        algorithm: what computed its convolution, as the errors show; absent for a direct sum.
    """

    layer: str
    local: Verdict
    algorithm: str = field(default="", metadata={"may be absent": True})


@dataclass(frozen=True)
class Decision:
    """The classes of one image, according to a runtime and to the arbiter.

    Attributes:
        top1: the runtime's top class.
        arbiter_top1: the arbiter's top class.
        top5: the runtime's five top classes, in order.
        arbiter_top5: the arbiter's five top classes, in order.
        margin: the arbiter's first logit minus its second; null if there is no second.
        largest_error: the largest |error| of the runtime's logits.
        outcome: ``agrees`` if top class and set of five are the same; otherwise ``inside`` if the
            allowed error explains it, ``flipped`` if not.
    """

    top1: int
    arbiter_top1: int
    top5: tuple[int, ...]
    arbiter_top5: tuple[int, ...]
    margin: float
    largest_error: float
    outcome: Literal["agrees", "inside", "flipped"]


@dataclass(frozen=True)
class CaseVerdict:
    """One case in one runtime.

    Attributes:
        case: the case's name.
        layers: one per tap, in the network's order; empty if the inputs are not finite.
        decisions: one per image; empty if the logits were not compared.
        reason: what is wrong apart from the layers; empty if nothing is.
        notes: what never fails the run: a port's known mistake, and what is only reported.
    """

    case: str
    layers: tuple[LayerVerdict, ...]
    decisions: tuple[Decision, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong in it."""
        verdicts = (v for layer in self.layers for v in (layer.accumulated, layer.local))
        return not self.reason and all(v is None or v.passed for v in verdicts)


@dataclass(frozen=True)
class GradientVerdict:
    """One tensor of the backward pass, compared along the runtime's own ReLU pattern.

    Attributes:
        tensor: the parameter's canonical name; ``images`` for the gradient of the input.
        gradient: the gradient of the mean cross-entropy.
        parameter: the parameter after one step of SGD; null for the input.
        velocity: its momentum buffer after that step; null for the input.
    """

    tensor: str
    gradient: Verdict
    parameter: Verdict | None = None
    velocity: Verdict | None = None


@dataclass(frozen=True)
class BesideCpu:
    """One case on the GPU: its difference from the CPU, predicted by the sum of both variances.

    Attributes:
        case: the case's name.
        layers: one per tap, in the network's order.
    """

    case: str
    layers: tuple[LayerVerdict, ...]

"""What a port that computes by an engine shows the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.convolutions import Float32
from parity_tests.support.arithmetic.simulated_engines import Engine, network
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint


def evidence(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    engine: Engine | Mapping[str, Engine],
    inputs: dict[str, Float32] | None = None,
    computed_with: Checkpoint | None = None,
) -> Evidence:
    """What a port shows that computes by an engine, with layers alone if their inputs are given."""
    used, images, mode = computed_with or checkpoint, expectation.case.images, MODES["float32"]
    taps = network(used, images, engine)
    layers = {} if inputs is None else network(used, images, engine, inputs)
    verdict = judge_case(expectation, mode, taps, layers)
    return Evidence(checkpoint, expectation, mode, taps, layers, verdict)


def failures(verdict: CaseVerdict) -> Iterator[str]:
    """The layers that fail, in the network's order."""
    for layer in verdict.layers:
        if not (layer.local or layer.accumulated).passed:
            yield layer.tap

"""Verdicts on each layer alone on dense inputs, which light every unit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.recognition import suggested
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.expectations import ArbiterCase, ArbiterTap
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.algorithms import kernels_of_three
from vgg16_parity.judge.own_errors import errors_of
from vgg16_parity.network.probes import inputs_of
from vgg16_parity.network.reference import layer_alone
from vgg16_parity.runtimes.job import Job
from vgg16_parity.verdicts import ProbeVerdict
from vgg16_spec.architecture import Flatten
from vgg16_spec.checkpoint import Checkpoint

Outputs: TypeAlias = Mapping[str, NDArray[Any]]

DIRECT: Final[Mapping[str, Algorithm]] = MappingProxyType({})


def judge_probes_of(
    job: Job,
    mode: Mode,
    checkpoint: Checkpoint,
    answers: ArbiterCase | None,
    algorithms: Mapping[str, Algorithm] = DIRECT,
) -> tuple[ProbeVerdict, ...]:
    """Judge a worker's layers; none if they did not run alone. The rest as in `judge_probes`."""
    if answers is None or not (outputs := job.result(job.probes, "local")):
        return ()
    return judge_probes(checkpoint, answers, mode, outputs, algorithms=algorithms)


def judge_probes(
    checkpoint: Checkpoint,
    answers: ArbiterCase,
    mode: Mode,
    outputs: Outputs,
    *,
    algorithms: Mapping[str, Algorithm] = DIRECT,
    optional: bool = False,
) -> tuple[ProbeVerdict, ...]:
    """Judge what each layer computed of its probe, in the network's order.

    A layer that fails is judged by the algorithm that its errors show, or that explains the same
    run's case: a framework may choose another one for maps as small as these.

    Args:
        checkpoint: what the arbiter computed with.
        answers: the arbiter's, from ``expect_probes``.
        mode: the run's numeric mode.
        outputs: layer -> its output.
        algorithms: layer -> the algorithm that explains the case.
        optional: whether the run need not have every layer.
    """
    inputs = inputs_of(answers.folder, checkpoint.configuration)
    convolutions = {layer.name: layer for layer in kernels_of_three(checkpoint.configuration)}

    def judged(layer: str) -> ProbeVerdict:
        output = outputs.get(layer)
        expected = answers.tap(layer, mode) if answers.has(mode) else by(layer)
        verdict = ProbeVerdict(layer, _compared(output, expected))
        if verdict.local.passed or output is None or layer not in convolutions:
            return verdict
        errors = errors_of(checkpoint, mode, convolutions[layer], inputs[layer], output)
        found = suggested(errors) if errors is not None else {}
        likeliest = sorted(found, key=found.__getitem__, reverse=True)
        of_case = [algorithms[layer]] if layer in algorithms else []
        for algorithm in dict.fromkeys(of_case + likeliest):
            local = _compared(output, by(layer, algorithm))
            if local.passed:
                return ProbeVerdict(layer, local, algorithm.name)
        return verdict

    def by(name: str, algorithm: Algorithm | None = None) -> ArbiterTap:
        layer = next(each for each in checkpoint.configuration.layers if each.name == name)
        assert not isinstance(layer, Flatten)  # it has no tap
        found = layer_alone(checkpoint, layer, inputs[name], [mode], algorithm)
        local = found.local[mode.name]
        return ArbiterTap(found.preactivation, found.relu, local, local)

    return tuple(
        judged(layer)
        for layer in answers.relus
        # A probe may be beyond a mode's range where the network's own values are not.
        if answers.reached[layer] <= mode.largest and not (optional and layer not in outputs)
    )


def _compared(output: NDArray[Any] | None, expected: ArbiterTap) -> Verdict:
    return compare_with_arbiter(output, expected.preactivation, expected.local, relu=expected.relu)

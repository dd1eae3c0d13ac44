"""Verdicts on each layer alone on dense inputs, which light every unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from onnx_arbiter.compare import compare_with_arbiter
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.algorithms import convolutions, names_of, suggested
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.network.probes import PROBES, expect_probes
from vgg16_parity.runtimes.process import Job
from vgg16_parity.verdicts import CaseVerdict, ProbeVerdict
from vgg16_spec.checkpoint import Checkpoint

Outputs: TypeAlias = Mapping[str, NDArray[Any]]


class Probes(NamedTuple):
    """The arbiter's answers for the probes in some modes, and the case that gave them a scale."""

    answers: ArbiterCase
    case: ArbiterCase
    modes: frozenset[str]


def judge_probes_of(
    job: Job,
    mode: Mode,
    checkpoint: Checkpoint,
    probes: Probes | None,
    arithmetic: Arithmetic = PLAIN,
) -> tuple[ProbeVerdict, ...]:
    """Judge a worker's layers; none if they did not run alone. The rest as in `judge_probes`."""
    if probes is None or not (outputs := job.result(job.probes, "local")):
        return ()
    return judge_probes(checkpoint, probes, mode, outputs, arithmetic=arithmetic)


def judge_probes(
    checkpoint: Checkpoint,
    probes: Probes,
    mode: Mode,
    outputs: Outputs,
    *,
    arithmetic: Arithmetic = PLAIN,
    optional: bool = False,
) -> tuple[ProbeVerdict, ...]:
    """Judge what each layer computed of its probe, in the network's order.

    Args:
        checkpoint: what the arbiter computed with.
        probes: the arbiter's answers.
        mode: the run's numeric mode.
        outputs: layer -> its output.
        arithmetic: what explains the same run's case. A framework may choose another algorithm for
            maps as small as these, so that a layer holds under the mode as well.
        optional: whether the run need not have every layer.
    """

    def judged_as(assumed: Arithmetic) -> tuple[ProbeVerdict, ...]:
        with TemporaryDirectory(prefix="vgg16-alternative-") as folder:
            place = Path(folder) / "probes"
            answers = expect_probes(checkpoint, probes.case, [mode], place, arithmetic=assumed)
            found = _judged(answers, mode, outputs, optional=optional)
        names = names_of(assumed)
        return tuple(replace(each, algorithm=names.get(each.layer, "")) for each in found)

    if mode.name not in probes.modes:
        return judged_as(arithmetic)
    found = _judged(probes.answers, mode, outputs, optional=optional)
    if arithmetic is not PLAIN and not _all_pass(found):
        found = _better(found, judged_as(arithmetic))
    if not _all_pass(found):
        # Maps as small as these may be cut into other tiles than the network's own.
        nothing = CaseVerdict(PROBES, (), ())
        evidence = Evidence(checkpoint, probes.answers, mode, outputs, outputs, nothing)
        failed = {each.layer for each in found if not each.local.passed}
        shown = {
            layer: suggested(evidence, layer) for layer in convolutions(evidence) if layer in failed
        }
        for rank in range(max(map(len, shown.values()), default=0)):
            algorithms = {layer: each[rank] for layer, each in shown.items() if rank < len(each)}
            found = _better(found, judged_as(replace(arithmetic, algorithms=algorithms)))
    return found


def _all_pass(verdicts: tuple[ProbeVerdict, ...]) -> bool:
    return all(each.local.passed for each in verdicts)


def _better(
    verdicts: tuple[ProbeVerdict, ...], others: tuple[ProbeVerdict, ...]
) -> tuple[ProbeVerdict, ...]:
    """The others that pass, in place of those before."""
    pairs = zip(verdicts, others, strict=True)
    return tuple(other if other.local.passed else each for each, other in pairs)


def _judged(
    answers: ArbiterCase, mode: Mode, outputs: Outputs, *, optional: bool
) -> tuple[ProbeVerdict, ...]:
    verdicts = []
    for layer in answers.relus:
        # A probe may be beyond a mode's range where the network's own values are not.
        if answers.reached[layer] > mode.largest or (optional and layer not in outputs):
            continue
        expected = answers.tap(layer, mode)
        local = compare_with_arbiter(
            outputs.get(layer), expected.preactivation, expected.local, relu=expected.relu
        )
        verdicts.append(ProbeVerdict(layer, local))
    return tuple(verdicts)

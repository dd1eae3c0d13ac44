"""A check's report as lines of text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from onnx_arbiter.limits import LIMITS
from vgg16_parity.onnx_check.accuracy import sentence
from vgg16_parity.onnx_check.check import DOES_NOT_RUN, CheckReport
from vgg16_parity.onnx_check.weights import NOT_REACHED, OTHER_SHAPE, Weight
from vgg16_spec.architecture import CONFIGURATIONS

# Names of nodes and tensors come from the file.
_LONGEST_LINE: Final = 300
# What is told one by one; of more, the first few and a count.
_MOST: Final = 4
_SHOWN: Final = 3
_INSIDE: Final = {"pixels": ", preprocessing inside", "pictures": ", preprocessing, resize inside"}
_VALUES: Final = re.compile(r"[\d,]+ of [\d,]+ values differ, by up to (\S+)")


def lines(report: CheckReport, named: str = "") -> Iterator[str]:
    """A line for each stage that passed or each problem, and the verdict.

    ``named`` is what the verdict calls the checkpoint; its label unless given.
    """
    for line in _lines(report, named or report.checkpoint):
        yield line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def _lines(report: CheckReport, named: str) -> Iterator[str]:
    problems = report.graph.problems
    shown = problems if len(problems) <= _MOST else problems[:_SHOWN]
    for problem in shown:
        yield f"graph: {problem}"
    if hidden := len(problems) - len(shown):
        yield f"graph: {hidden} more problems, which --json lists"
    if report.graph.passed:
        kinds = f"{report.graph.layout.upper()}, {report.graph.output}"
        inside = _INSIDE.get(report.graph.input, "")
        yield f"graph: as the checkpoint's network ({kinds}{inside})"
    wrong = [weight for weight in report.weights if weight.problem]
    yield f"weights: {len(report.weights) - len(wrong)} of {len(report.weights)} equal"
    reached = [weight for weight in wrong if weight.problem != NOT_REACHED]
    if unseen := len(wrong) - len(reached):
        yield f"weights: {unseen} not compared, behind what the graph has there"
    misshapen = [weight for weight in reached if weight.problem.startswith(OTHER_SHAPE)]
    if len(misshapen) > _MOST:
        yield _other_shapes(misshapen, report)
        reached = [weight for weight in reached if weight not in misshapen]
    yield from _about_weights(reached)
    verdict = report.numbers.verdict
    if verdict is None or not math.isfinite(verdict.ratio):
        yield f"numbers: {report.numbers.reason}"
    else:
        yield (
            f"numbers: errors are {verdict.ratio:.2g} times the predicted size, the largest "
            f"{verdict.deviations:.2g} standard deviations "
            f"(limits {verdict.ratio_limit:.3g} and {LIMITS.deviations.limit:g})"
        )
    if report.numbers.mistake:
        yield f"numbers: {report.numbers.mistake}"
    if report.accuracy is not None:
        yield sentence(report.accuracy)
    verdict_words = "matches" if report.matches else "does not match"
    if report.graph.passed and not wrong and report.numbers.reason.startswith(DOES_NOT_RUN):
        verdict_words = "has the network and the weights, but does not run: it does not match"
    yield f"{report.file} {verdict_words} {named}."


def _other_shapes(misshapen: Sequence[Weight], report: CheckReport) -> str:
    """All of them in a line, with the configuration whose shapes they are, if they are one's."""
    words = f"weights: {len(misshapen)} of {len(report.weights)} have other shapes"
    for known in CONFIGURATIONS.values():
        # Weights are compared by position; the names are those of the checkpoint's layers.
        expected = zip(report.weights, known.weight_shapes.values(), strict=False)
        begun = {weight.tensor: f"{OTHER_SHAPE} {shape} " for weight, shape in expected}
        if all(w.problem.startswith(begun.get(w.tensor, w.tensor)) for w in misshapen):
            own = report.configuration
            return f"{words}: the graph is configuration {known.name}, the checkpoint {own}"
    first = misshapen[0]
    return f"{words}, which --json lists; {first.tensor} {first.problem}"


def _about_weights(wrong: Sequence[Weight]) -> Iterator[str]:
    """One line for each tensor, or for each kind of problem that more than a few have."""
    kinds = dict[str, list[Weight]]()
    for weight in wrong:
        kinds.setdefault(_VALUES.sub("other values", weight.problem), []).append(weight)
    for kind, tensors in kinds.items():
        if len(tensors) <= _MOST:
            for weight in tensors:
                called = f" ({weight.initializer})" if weight.initializer else ""
                yield f"weights: {weight.tensor}{called}: {weight.problem}"
            continue
        errors = [found[1] for w in tensors if (found := _VALUES.search(w.problem))]
        largest = f", by up to {max(errors, key=float)}" if errors else ""
        names = ", ".join(weight.tensor for weight in tensors[:_SHOWN])
        yield f"weights: {names} and {len(tensors) - _SHOWN} more: {kind}{largest}"

"""A runtime that computes in another numeric mode than its lane's is judged by its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.prediction import expect
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint


@dataclass(frozen=True)
class FoundModes:
    """The arbiter's answers in modes that were not foreseen, each computed once.

    Attributes:
        checkpoint: what the arbiter computes with.
        folder: has a folder for each mode.
    """

    checkpoint: Checkpoint
    folder: Path
    _found: dict[tuple[str, Path], ArbiterCase] = field(default_factory=dict)

    def in_mode(self, expectations: Sequence[ArbiterCase], mode: Mode) -> list[ArbiterCase]:
        """The answers for the same cases with the errors of a mode."""
        return [each if each.has(mode) else self._in_mode(each, mode) for each in expectations]

    def _in_mode(self, expectation: ArbiterCase, mode: Mode) -> ArbiterCase:
        key = (mode.name, expectation.folder)
        if key not in self._found:
            # A worker's results are found by the name of the case's folder.
            place = self.folder / mode.name / expectation.folder.name
            place.parent.mkdir(exist_ok=True)
            only_logits = len(expectation.relus) == 1
            case = expectation.case
            self._found[key] = expect(self.checkpoint, case, [mode], place, logits_only=only_logits)
        return self._found[key]


def with_mode(cases: Sequence[CaseVerdict], mode: Mode) -> tuple[CaseVerdict, ...]:
    """The verdicts with a note on the first that says by which mode they were judged."""
    first, *others = cases
    note = f"the runtime chose {mode.name}, by which it is judged"
    return replace(first, notes=(note, *first.notes)), *others

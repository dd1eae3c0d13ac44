"""A runtime that computes in another numeric mode than its lane's is judged by its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.prediction import expect
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint


def in_mode(
    checkpoint: Checkpoint, expectations: Sequence[ArbiterCase], mode: Mode, folder: Path
) -> list[ArbiterCase]:
    """The arbiter's answers for the same cases with the errors of a mode.

    They are computed once for each mode: into ``folder``, in a folder of the mode's name.
    """
    found = []
    for expectation in expectations:
        if expectation.has(mode):
            found.append(expectation)
            continue
        # A worker's results are found by the name of the case's folder.
        place = folder / mode.name / expectation.folder.name
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            only_logits = len(expectation.relus) == 1
            expect(checkpoint, expectation.case, [mode], place, logits_only=only_logits)
        found.append(replace(expectation, folder=place))
    return found


def with_mode(cases: Sequence[CaseVerdict], mode: Mode) -> tuple[CaseVerdict, ...]:
    """The verdicts with a note on the first that says by which mode they were judged."""
    first, *others = cases
    note = f"the runtime chose {mode.name}, by which it is judged"
    return replace(first, notes=(note, *first.notes)), *others

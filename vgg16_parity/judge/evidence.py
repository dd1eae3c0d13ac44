"""A case that does not hold, the values that show it, and what they may suggest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.network.prediction import expect
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.files.scratch import scratch_folder

# How a note begins under which a case would hold that does not.
WOULD_HOLD: Final = "would hold "


class Suggestion(NamedTuple):
    """What a run may have computed.

    Attributes:
        arithmetic: how.
        note: what the report says if that explains every layer.
        passes: whether the case then holds; otherwise the note alone is added, to a case that
            stays as it was.
        checkpoint: with which weights; None for those that it was given.
    """

    arithmetic: Arithmetic
    note: str
    passes: bool = True
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Evidence:
    """A case as it was judged, and the run's values that show why.

    Attributes:
        checkpoint: what the arbiter computed with.
        expectation: the arbiter's answers.
        mode: the run's numeric mode.
        taps: the run's values by tap.
        layers: each layer's output for the arbiter's input; empty if layers were not run alone.
        verdict: the verdict in that mode.
        taps_optional: whether the run need not have every tap.
        assumed: the arithmetic of the verdict, which suggestions add to.
    """

    checkpoint: Checkpoint
    expectation: ArbiterCase
    mode: Mode
    taps: Mapping[str, NDArray[Any]]
    layers: Mapping[str, NDArray[Any]]
    verdict: CaseVerdict
    taps_optional: bool = False
    assumed: Arithmetic = PLAIN
    _judged: list[tuple[Arithmetic, Checkpoint | None, CaseVerdict]] = field(default_factory=list)

    def judge_as(self, arithmetic: Arithmetic, checkpoint: Checkpoint | None = None) -> CaseVerdict:
        """The verdict if the run computed so, with these weights or its own.

        The arbiter runs once for each arithmetic: a finder may ask for what was judged before.
        """
        for known, weights, verdict in self._judged:
            if known is arithmetic and weights is checkpoint:
                return verdict
        verdict = self._judge_as(arithmetic, checkpoint)
        self._judged.append((arithmetic, checkpoint, verdict))
        return verdict

    def _judge_as(self, arithmetic: Arithmetic, checkpoint: Checkpoint | None) -> CaseVerdict:
        with scratch_folder("vgg16-alternative") as folder:
            expected = expect(
                checkpoint or self.checkpoint,
                self.expectation.case,
                [self.mode],
                folder / "case",
                arithmetic=arithmetic,
                logits_only=set(self.taps) == {self.expectation.last},
            )
            # Layers alone were given what the arbiter computed with its own weights.
            layers = {} if checkpoint else self.layers
            return judge_case(
                expected,
                self.mode,
                self.taps,
                layers,
                taps_optional=self.taps_optional,
                alike=not arithmetic.algorithms,
            )


# What the evidence suggests, the likeliest first.
Finder: TypeAlias = Callable[[Evidence], Iterator[Suggestion]]

"""Judging a port whose values you have computed yourself: arrays in, a row of a report out.

with Arbiter(checkpoint_of("vgg16.pth")) as arbiter:
    row = arbiter.judge("my port", my_port(arbiter.images))
assert row.status == "holds", explain(row)
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

import vgg16_weights
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity import inputs
from vgg16_parity.inputs import Case
from vgg16_parity.judge.layers import judge_case, to_row
from vgg16_parity.network import expectations
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_parity.records import CaseFacts, Report, Row, Weights
from vgg16_parity.runtimes.process import peak_memory
from vgg16_spec import architecture
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput, require_file, require_one_of
from vgg16_spec.images.photographs import PHOTOGRAPHS

Values = NDArray[Any]

LOGITS: Final = "predictions"
# A report names the device that runtimes ran on; of somebody's own arrays nobody knows it.
_DEVICE: Final = "not known"


def checkpoint_of(
    weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
) -> Checkpoint:
    """The checkpoint that a port was given.

    Args:
        weights: a checkpoint; a file of any format of ``vgg16_weights``; or ``seeded`` or
            ``seeded:N`` for the seeded checkpoint of seed 0 or N.
        configuration: ``A`` to ``E`` or ``tiny``; of seeded weights ``D`` unless given, of others
            it must be what they are.

    Raises ``BadInput`` where there is no such checkpoint.
    """
    if isinstance(weights, str) and not Path(weights).exists():
        name, separator, seed = weights.partition(":")
        if name == "seeded" and (seed.isdecimal() or not separator):
            return seeded_checkpoint(configuration or "D", int(seed or 0))
    checkpoint = weights if isinstance(weights, Checkpoint) else _read(Path(weights))
    if configuration is not None:
        wanted = architecture.configuration(configuration).name
        if wanted != (found := checkpoint.configuration.name):
            problem = f"holds configuration {found}"
            raise BadInput(checkpoint.label, problem, f"configuration {wanted}")
    return checkpoint


class Arbiter:
    """The arbiter's answers for one checkpoint and one batch, and what is judged by them.

    Answers are kept in a temporary folder, which is gone when the arbiter is closed.

    Args:
        checkpoint: with its classifier.
        pictures: files, prepared by the checkpoint's own recipe; the project's photographs unless
            given.
        case: a prepared batch instead of pictures.

    Raises ``BadInput`` for a checkpoint without its classifier, or a picture that cannot be read.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        pictures: Sequence[Path] = (),
        *,
        case: Case | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        files = list(pictures) or [photograph.path for photograph in PHOTOGRAPHS]
        self._files = files if case is None else []
        self._case = case or inputs.pictures(checkpoint, files)
        self._folder = Path(tempfile.mkdtemp(prefix="vgg16-arbiter-"))
        self._expectations: dict[str, ArbiterCase] = {}
        self._seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def files(self) -> tuple[str, ...]:
        """The pictures' paths; none where a batch was given."""
        return tuple(map(str, self._files))

    def close(self) -> None:
        """Remove what is kept."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def images(self) -> NDArray[np.float32]:
        """What a port is to be run on: (N, 3, H, W), preprocessed; a copy."""
        return self._case.images.copy()

    @property
    def given(self) -> dict[str, NDArray[np.float32]]:
        """What a port's layers are given where each is run alone: tap -> what the next one reads.

        The arbiter's values rounded to float32, maps as (N, C, H, W); the first layer is given the
        images.
        """
        taps = self.checkpoint.configuration.taps
        return expectations.given(self._expect(MODES["float32"]).folder, taps[:-1])

    def judge(
        self,
        name: str,
        computed: Values | Mapping[str, Values],
        *,
        layers: Mapping[str, Values] | None = None,
        mode: str = "float32",
    ) -> Row:
        """Hold what a port computed of ``images`` against the arbiter.

        Args:
            name: what the report calls the port.
            computed: logits (N, classes), or taps by name in which ``predictions`` are the logits;
                maps are (N, C, H, W).
            layers: what each layer, run alone, made of ``given``, under the names of ``computed``;
                with it the row names the layer that is wrong by itself.
            mode: the numeric mode that the port computes in, one of
                ``onnx_arbiter.numeric_modes.MODES``.

        Raises ``BadInput`` for another mode, for taps without logits, and for layers of other names
        than the taps.
        """
        known = MODES[require_one_of("mode", mode, tuple(MODES))]
        taps = dict(computed) if isinstance(computed, Mapping) else {LOGITS: computed}
        if LOGITS not in taps:
            raise BadInput(name, f"has no {LOGITS}", f"logits, or taps with {LOGITS}")
        if layers and (odd := sorted(set(layers) ^ set(taps))):
            problem = f"layers alone and taps are not the same: {', '.join(odd)}"
            raise BadInput(name, problem, "both of every layer that is given")
        case = judge_case(
            self._expect(known),
            known,
            {tap: np.asarray(values) for tap, values in taps.items()},
            {tap: np.asarray(values) for tap, values in (layers or {}).items()},
            some_taps=True,
        )
        return to_row(name, known.name, known, [case])

    def report(self, rows: Sequence[Row]) -> Report:
        """A report of rows that this arbiter judged."""
        expectation = self._expect(MODES["float32"])
        return Report(
            weights=self._weights,
            cases=(CaseFacts.of(expectation, self._files),),
            device=_DEVICE,
            arbiter_seconds=self._seconds,
            peak_bytes=peak_memory(),
            all_required=True,
            rows=tuple(rows),
        )

    @cached_property
    def _weights(self) -> Weights:
        return Weights.of(self.checkpoint)

    def _expect(self, mode: Mode) -> ArbiterCase:
        if mode.name not in self._expectations:
            start = time.perf_counter()
            self._expectations[mode.name] = expectations.expect(
                self.checkpoint, self._case, [mode], self._folder / mode.name
            )
            self._seconds += time.perf_counter() - start
        return self._expectations[mode.name]


def explain(row: Row) -> str:
    """A row in words: what is wrong, and every tap's figures up to the logits."""
    lines = [f"{row.runtime} ({row.mode}): {row.status}"]
    if row.reason:
        lines.append(row.reason)
    width = max((len(tap) for tap, _ in row.verdicts("accumulated")), default=0)
    for case in row.cases:
        for layer in case.layers:
            figures = [("", layer.accumulated)]
            figures += [("alone ", layer.local)] if layer.local is not None else []
            said = "; ".join(
                f"{kind}{verdict.ratio:.3g} times the predicted error, "
                f"{verdict.deviations:.3g} deviations{'' if verdict.passed else ' WRONG'}"
                for kind, verdict in figures
            )
            lines.append(f"  {layer.tap:<{width}}  {said}")
    return "\n".join(lines)


def _read(path: Path) -> Checkpoint:
    require_file(path, "weights: a file, or seeded or seeded:N")
    return vgg16_weights.read(path)

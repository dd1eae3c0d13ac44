"""Judge values that your own port computed: arrays in, a row of a report out.

with Arbiter(checkpoint_of("vgg16.pth")) as arbiter:
    row = arbiter.judge("my port", my_port(arbiter.images))
assert row.status == "holds", explain(row)
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter import expectations
from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.memory import peak_memory
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity import inputs
from vgg16_parity.handed import HandedOut
from vgg16_parity.judge.alternatives import judge_again
from vgg16_parity.judge.coverage import Coverages
from vgg16_parity.judge.diagnosis import with_notes
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.judge.probes import judge_probes
from vgg16_parity.judge.row import conclude
from vgg16_parity.network.prediction import expect
from vgg16_parity.network.probes import expect_probes, inputs_of
from vgg16_parity.network.search import SEARCHED, searched
from vgg16_parity.records import CaseFacts, Report, Row, Weights
from vgg16_parity.report.explain import explain as explain
from vgg16_parity.runtimes.adapters.own_port import port_arrays, port_taps
from vgg16_parity.weights import open_file
from vgg16_spec import architecture
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.errors import BadInput, require_file, require_one_of
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_weights.contents import Choices
from vgg16_weights.tf.checkpoints import file_named

Values = NDArray[Any]

_PROBES_ADVICE: Final = (
    "layers were compared on inputs that leave units dark: pass `probes` to judge every weight "
    "(docs/your-port.md)"
)


def checkpoint_of(
    weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
) -> Checkpoint:
    """The checkpoint that a port computed with.

    Args:
        weights: a checkpoint; a file in any format of ``vgg16_weights``, or an ONNX graph;
            ``seeded`` or ``seeded:N`` for the seeded checkpoint of seed 0 or N.
        configuration: ``A`` to ``E`` or ``tiny``. For seeded weights the default is ``D``; other
            weights must have it.

    Raises:
        BadInput: there is no such checkpoint.
    """
    if isinstance(weights, str) and not Path(weights).exists():
        name, separator, seed = weights.partition(":")
        if name == "seeded" and (seed.isdecimal() or not separator):
            return seeded_checkpoint(configuration or "D", int(seed or 0))
    if not isinstance(weights, Checkpoint):
        file = require_file(file_named(Path(weights)), "weights: a file, or seeded or seeded:N")
        weights = open_file(file, Choices())
    found = weights.configuration.name
    if configuration is not None and architecture.configuration(configuration).name != found:
        problem = f"holds configuration {found}"
        raise BadInput(weights.label, problem, f"configuration {configuration}")
    return weights


@dataclass
class _Answers:
    """The arbiter's answers in one mode, and what they exercise."""

    case: ArbiterCase
    coverages: Coverages
    probes: ArbiterCase | None = None


class Arbiter:
    """The arbiter's answers for one checkpoint and one batch, kept until it is closed.

    Args:
        checkpoint: with its classifier.
        pictures: files, prepared by the checkpoint's own recipe; by default the project's
            photographs.
        case: a prepared batch instead of pictures.
        searched: whether to add images that exercise what the batch does not, for a port that gives
            only logits; they are searched once for a checkpoint and kept in the cache folder.

    Attributes:
        files: the pictures' paths; empty if a batch was passed.

    Raises:
        BadInput: the checkpoint has no classifier, or a picture cannot be read.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        pictures: Sequence[Path] = (),
        *,
        case: Case | None = None,
        searched: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        pictures = pictures or [photograph.path for photograph in PHOTOGRAPHS]
        self.files = tuple(map(str, pictures)) if case is None else ()
        self._case = case or inputs.pictures(checkpoint, pictures)
        if searched:
            self._case, self.files = _with_searched(checkpoint, self._case), ()
        temporary = ExitStack()
        self._folder = temporary.enter_context(scratch_folder("vgg16-arbiter"))
        self._remove_folder = weakref.finalize(self, temporary.close)
        self._answers: dict[str, _Answers] = {}
        self._handed = HandedOut()
        self._seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary files."""
        self._remove_folder()

    @property
    def images(self) -> NDArray[np.float32]:
        """The input of a port: (N, 3, H, W), preprocessed; a copy."""
        images = self._case.images.copy()
        self._handed.add("the images", {"": images}, lambda: {"": self._case.images})
        return images

    @property
    def given(self) -> dict[str, NDArray[np.float32]]:
        """The inputs of a port's layers if each runs alone: tap -> the input of the next layer.

        The arbiter's values rounded to float32, maps as (N, C, H, W); the first layer reads the
        images. The arrays are the caller's own.
        """
        taps = self.checkpoint.configuration.taps[:-1]
        read = partial(expectations.given, self._expect(MODES["float32"]).case.folder, taps)
        found = read(writable=True)
        self._handed.add("given", found, read)
        return found

    @property
    def probes(self) -> dict[str, NDArray[np.float32]]:
        """Dense inputs of a port's layers, which light every unit: layer -> its own input.

        Maps are (8, C, h, w), smaller than the network's; fc1's are those that are flattened. fc2
        and predictions read (8, features). The arrays are the caller's own.
        """
        folder = self._probe(MODES["float32"]).folder
        read = partial(inputs_of, folder, self.checkpoint.configuration)
        found = read(writable=True)
        self._handed.add("probes", found, read)
        return found

    def judge(
        self,
        name: str,
        computed: Values | Mapping[str, Values],
        *,
        layers: Mapping[str, Values] | None = None,
        probes: Mapping[str, Values] | None = None,
        mode: str = "float32",
    ) -> Row:
        """Judge what a port computed from ``images``.

        Args:
            name: the port's name in the report.
            computed: logits (N, classes), or taps by name with the logits as ``predictions``; maps
                are (N, C, H, W).
            layers: each layer's output for ``given``, under the same names; with it the row names
                the layer that is wrong locally.
            probes: each layer's output for its own of ``probes``, by the layer's name.
            mode: the numeric mode of the port, one of ``onnx_arbiter.numeric_modes.MODES``.

        Raises:
            BadInput: the mode is unknown, the taps lack the logits, or the layers or the probes
                have other names.
        """
        known = MODES[require_one_of("mode", mode, tuple(MODES))]
        taps = port_taps(name, computed)
        if layers is not None and (odd := sorted(set(layers) ^ set(taps))):
            problem = f"layers alone and taps are not the same: {', '.join(odd)}"
            raise BadInput(name, problem, "both of every layer that is given")
        alone = port_taps(name, layers) if layers else {}
        dense = {} if probes is None else self._of_probes(name, probes)
        answers = self._expect(known)
        expectation = answers.case
        case = judge_case(expectation, known, taps, alone, taps_optional=True)
        case, arithmetic = judge_again(
            Evidence(self.checkpoint, expectation, known, taps, alone, case, taps_optional=True)
        )
        case = with_notes(case, expectation, known, taps, self.checkpoint)
        more = [_PROBES_ADVICE] if alone and not dense and case.holds else []
        more += self._handed.misused(*taps.items(), *alone.items(), *dense.items())
        row = Row(name, known.name, known.name, "holds")
        if dense:
            found = judge_probes(
                self.checkpoint,
                self._probe(known),
                known,
                dense,
                algorithms=arithmetic.algorithms,
                optional=True,
            )
            row = replace(row, probes=found)
        row = replace(row, cases=(replace(case, notes=(*case.notes, *more)),))
        return conclude(answers.coverages.added_to(row))

    def _of_probes(self, port: str, outputs: Mapping[str, Values]) -> dict[str, Values]:
        found, layers = port_arrays(port, outputs), self.checkpoint.configuration.taps
        odd = [layer for layer in found if layer not in layers]
        if odd or not found:
            problem = (
                f"probes: no layer is called {', '.join(odd)}" if odd else "probes: none given"
            )
            raise BadInput(port, problem, f"outputs by layer: {', '.join(layers)}")
        return found

    def report(self, rows: Sequence[Row]) -> Report:
        """A report of rows that this arbiter judged."""
        expectation = self._expect(MODES["float32"]).case
        return Report(
            weights=self._weights,
            cases=(CaseFacts.of(expectation, list(map(Path, self.files))),),
            device="not known",
            arbiter_seconds=self._seconds,
            peak_bytes=peak_memory(),
            all_required=True,
            rows=tuple(rows),
        )

    @cached_property
    def _weights(self) -> Weights:
        return Weights.of(self.checkpoint)

    def _probe(self, mode: Mode) -> ArbiterCase:
        answers = self._expect(mode)
        if answers.probes is None:
            start = time.perf_counter()
            folder = self._folder / f"{mode.name}-probes"
            answers.probes = expect_probes(self.checkpoint, answers.case, [mode], folder)
            answers.coverages.add_probes(answers.probes)
            self._seconds += time.perf_counter() - start
        return answers.probes

    def _expect(self, mode: Mode) -> _Answers:
        if mode.name not in self._answers:
            start = time.perf_counter()
            coverages = Coverages(self.checkpoint.configuration)
            exercised = coverages.case(self._case.name)
            folder = self._folder / mode.name
            case = expect(self.checkpoint, self._case, [mode], folder, exercised=exercised)
            self._answers[mode.name] = _Answers(case, coverages)
            self._seconds += time.perf_counter() - start
        return self._answers[mode.name]


def _with_searched(checkpoint: Checkpoint, case: Case) -> Case:
    more = searched(checkpoint)
    return Case(
        f"{case.name} and {SEARCHED}",
        np.concatenate([case.images, more.images]),
        (*case.labels, *more.labels),
        extreme=case.extreme,
    )

"""What a parity run found: the records that the JSON format and ``docs/report.md`` derive from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from onnx_arbiter.algorithms.recognition import by_algorithm
from onnx_arbiter.compare import Verdict
from onnx_arbiter.expectations import ArbiterCase
from vgg16_parity.inputs import PICTURES
from vgg16_parity.network.coverage import Coverage
from vgg16_parity.runtimes.job import Record
from vgg16_parity.verdicts import (
    BesideCpu,
    CaseVerdict,
    GradientVerdict,
    ProbeVerdict,
)
from vgg16_spec.architecture import IMAGENET_CLASSES
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.checkpoint.seeded import is_seeded
from vgg16_spec.logits import top

Status = Literal["holds", "broken", "failed", "not run"]
Kind = Literal[
    "accumulated",
    "local",
    "probe",
    "beside cpu",
    "alone beside cpu",
    "gradient",
    "parameter",
    "velocity",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True)
class Weights:
    """The checkpoint that every runtime computed with.

    Attributes:
        configuration: the network's name: a column of the paper's Table 1, or ``tiny``.
        parameters: number of parameters.
        seeded: whether the weights are untrained, so that the classes mean nothing.
        path: the file's name without its folder; empty if the checkpoint has no canonical file.
        sha256: the file's digest; empty if there is no file.
        metadata: the checkpoint's own metadata.
        classes: number of classes.
        recipe_assumed: whether nothing stated the recipe, and it is the file format's usual one;
            absent where it was stated.
    """

    configuration: str
    parameters: int
    seeded: bool
    path: str
    sha256: str
    metadata: Metadata
    classes: int = IMAGENET_CLASSES
    recipe_assumed: bool = field(default=False, metadata={"may be absent": True})

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Weights:
        """The facts of a checkpoint; reads the whole file for its digest."""
        network, file = checkpoint.configuration, checkpoint.path
        facts = (network.name, network.parameters(), is_seeded(checkpoint))
        where = (file.name, digest(file)) if file else ("", "")
        assumed = checkpoint.is_recipe_assumed
        return cls(*facts, *where, checkpoint.metadata, network.classes, assumed)


@dataclass(frozen=True)
class Image:
    """One image of a case.

    Attributes:
        label: the file's name, or what the image shows.
        sha256: the file's digest; empty for an input without a file.
        top5: the arbiter's five top classes, in order; empty if its logits are not finite.
    """

    label: str
    sha256: str
    top5: tuple[int, ...]


@dataclass(frozen=True)
class CaseFacts:
    """One batch of inputs; every runtime gets the same.

    Searched inputs are for those whose layers cannot run alone.

    Attributes:
        name: ``photographs``, or the kind of stress input.
        images: the images, in the batch's order.
    """

    name: str
    images: tuple[Image, ...]

    @classmethod
    def of(cls, expectation: ArbiterCase, files: Sequence[Path]) -> CaseFacts:
        """The facts of a case; ``files`` are the pictures of the case of photographs."""
        case = expectation.case
        digests = map(digest, files) if case.name == PICTURES and files else [""] * len(case.labels)
        logits = np.array(expectation.preactivation(expectation.last))
        finite = [top(each[np.newaxis], 5)[0] if np.isfinite(each).all() else () for each in logits]
        facts = zip(case.labels, digests, finite, strict=True)
        images = (Image(label, sha256, tuple(map(int, top5))) for label, sha256, top5 in facts)
        return cls(case.name, tuple(images))


@dataclass(frozen=True)
class Row:
    """One runtime in one lane on one device.

    Attributes:
        runtime: the runtime's name.
        lane: how the runtime's arithmetic was configured.
        mode: the numeric mode that predicts its errors.
        status: ``holds`` or ``broken``; ``failed`` if it started and did not finish; ``not run``
            if a package, a device or a precision that it needs is missing.
        reason: why the status is not ``holds``; empty if it is.
        first_wrong: the first layer wrong by itself, else the first tap outside its limits.
        cases: what was compared; empty if it did not run.
        record: how it ran; null if it was not started.
        gradients: one per tensor, from the logits down; empty if gradients were not compared.
        device: ``cpu`` or ``cuda``; empty if unknown.
        beside_cpu: one per case of a run on the GPU; empty if the CPU's was not run.
        probes: one per layer, in the network's order; absent if layers were not run alone.
        coverage: the weights that the inputs exercise; absent if nothing was compared.
    """

    runtime: str
    lane: str
    mode: str
    status: Status
    reason: str = ""
    first_wrong: str = ""
    cases: tuple[CaseVerdict, ...] = ()
    record: Record | None = None
    gradients: tuple[GradientVerdict, ...] = ()
    device: str = ""
    beside_cpu: tuple[BesideCpu, ...] = ()
    probes: tuple[ProbeVerdict, ...] = field(default=(), metadata={"may be absent": True})
    coverage: Coverage | None = field(default=None, metadata={"may be absent": True})

    @property
    def setting(self) -> str:
        """The lane, with the device if it is the GPU."""
        return f"{self.lane}, {self.device}" if self.device == "cuda" else self.lane

    @property
    def name(self) -> str:
        """The runtime with its setting."""
        return f"{self.runtime} ({self.setting})"

    @property
    def notes(self) -> list[str]:
        """What never fails the run, each with the case that it is about."""
        found = [f"{case.case}: {note}" for case in self.cases for note in case.notes]
        names = {probe.layer: probe.algorithm for probe in self.probes if probe.algorithm}
        said = by_algorithm(names, [probe.layer for probe in self.probes])
        return [*found, f"dense inputs: {said}"] if said else found

    def verdicts(self, kind: Kind) -> Iterator[tuple[str, Verdict]]:
        """The tap or tensor and the verdict, for all cases."""
        return ((name, verdict) for _, name, verdict in iter_verdicts(self, kind))

    def worst(self, kind: Kind) -> dict[str, tuple[float, float]]:
        """Tap or tensor -> its largest ratio and its largest deviations over all cases."""
        found: dict[str, tuple[float, float]] = {}
        for name, verdict in self.verdicts(kind):
            ratio, deviations = found.get(name, (0.0, 0.0))
            found[name] = max(ratio, verdict.ratio), max(deviations, verdict.deviations)
        return found


def iter_verdicts(row: Row, kind: Kind) -> Iterator[tuple[str, str, Verdict]]:
    """The case, the tap or tensor, and the verdict of every comparison of a kind."""
    compared: list[tuple[str, str, Any]]
    if kind in ("gradient", "parameter", "velocity"):
        compared = [(kind, each.tensor, getattr(each, kind)) for each in row.gradients]
    elif kind == "probe":
        compared = [(kind, each.layer, each.local) for each in row.probes]
    else:
        cases: Sequence[CaseVerdict | BesideCpu] = row.beside_cpu if "cpu" in kind else row.cases
        which = "local" if kind in ("local", "alone beside cpu") else "accumulated"
        found = ((case.case, layer) for case in cases for layer in case.layers)
        compared = [(case, layer.tap, getattr(layer, which)) for case, layer in found]
    yield from (each for each in compared if each[2] is not None)


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        weights, cases: what the runtimes computed, and with what.
        device: where the runtimes ran: ``cpu``, ``cuda`` or ``both``.
        arbiter_seconds: the arbiter's time, error prediction included.
        peak_bytes: peak memory of this process, which runs the arbiter and judges.
        all_required: whether any runtime that cannot run breaks parity: runtimes were named.
        rows: one per runtime, lane and device, in the order requested.
        required: the runtimes of which one that cannot run breaks parity: those named besides
            ``all``. Absent if there are none.
    """

    weights: Weights
    cases: tuple[CaseFacts, ...]
    device: str
    arbiter_seconds: float
    peak_bytes: int
    all_required: bool
    rows: tuple[Row, ...]
    required: tuple[str, ...] = field(default=(), metadata={"may be absent": True})

    @property
    def holds(self) -> bool:
        """Whether every row that counts holds, and there is one; for ``both``, one on the GPU."""
        rows = [row for row in self.rows if self.counts(row)]
        compared = self.device != "both" or any(row.device == "cuda" for row in rows)
        return bool(rows) and compared and all(row.status == "holds" for row in rows)

    def counts(self, row: Row) -> bool:
        """Whether a row decides: it ran, or it had to (a row without mode: no such lane)."""
        possible = bool(row.mode) or self.device != "both"
        required = self.all_required or row.runtime in self.required
        return row.status != "not run" or (required and possible)

"""What a parity run found, as records and as a JSON document."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS, Verdict
from onnx_arbiter.limits import LIMITS
from vgg16_parity.runtimes.process import Record
from vgg16_spec.architecture import IMAGENET_CLASSES

SCHEMA: Final = "vgg16-parity-report/3"

Status = Literal["holds", "broken", "failed", "not run"]


@dataclass(frozen=True)
class Weights:
    """The checkpoint of a run.

    Attributes:
        configuration: the network's name.
        parameters: how many values it has.
        seeded: whether the weights were never trained.
        path: the checkpoint's file name; empty where it was in no canonical file.
        sha256: that file's digest.
        metadata: the checkpoint's (recipe, source, licence, …).
        classes: how many the network tells apart.
    """

    configuration: str
    parameters: int
    seeded: bool
    path: str
    sha256: str
    metadata: dict[str, str]
    classes: int = IMAGENET_CLASSES


@dataclass(frozen=True)
class Image:
    """One image of a case.

    Attributes:
        label: its file's name, or what it shows.
        sha256: the file's digest; empty for an input that is no file.
        top5: the arbiter's first five classes; empty where its logits are not finite.
    """

    label: str
    sha256: str
    top5: tuple[int, ...]


@dataclass(frozen=True)
class CaseFacts:
    """One batch that every runtime was given: its name and its images."""

    name: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class LayerVerdict:
    """One tap of one runtime on one case.

    Attributes:
        tap: the tap's name.
        accumulated: the runtime's own tap, beside the arbiter's.
        local: the layer alone, given the arbiter's input; none where that was not run.
    """

    tap: str
    accumulated: Verdict
    local: Verdict | None = None


@dataclass(frozen=True)
class Decision:
    """What a runtime and the arbiter say that one image shows.

    Attributes:
        top1: the runtime's first class.
        arbiter_top1: the arbiter's.
        top5: the runtime's first five, the first first.
        arbiter_top5: the arbiter's.
        margin: between the arbiter's first and second logit.
        largest_error: the runtime's largest |error| of any logit.
        outcome: ``agrees`` where the first class and the set of the first five are the same;
            ``inside`` where a class changed places with another whose logits the allowed error does
            not tell apart; ``flipped`` where it does.
    """

    top1: int
    arbiter_top1: int
    top5: tuple[int, ...]
    arbiter_top5: tuple[int, ...]
    margin: float
    largest_error: float
    outcome: Literal["agrees", "inside", "flipped"]


@dataclass(frozen=True)
class CaseVerdict:
    """One case in one runtime.

    Attributes:
        case: the case's name.
        layers: one a tap, in the network's order; empty where only what is not finite was compared.
        decisions: one an image; empty likewise.
        reason: why it did not pass; empty where it did.
        notes: what is worth knowing and breaks nothing.
    """

    case: str
    layers: tuple[LayerVerdict, ...]
    decisions: tuple[Decision, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reason


@dataclass(frozen=True)
class GradientVerdict:
    """One tensor of one runtime's backward pass, beside the arbiter's on the branch it took.

    Attributes:
        tensor: the parameter's canonical name, or ``images`` for the gradient of the input.
        gradient: of the mean cross-entropy.
        parameter: the parameter after one step of SGD; none for the input.
        velocity: its momentum buffer after that step; none for the input.
    """

    tensor: str
    gradient: Verdict
    parameter: Verdict | None = None
    velocity: Verdict | None = None


@dataclass(frozen=True)
class BesideCpu:
    """One case of a runtime on the GPU, beside the same runtime and lane on the CPU.

    Attributes:
        case: the case's name.
        layers: one a tap; differences are judged by the sum of both runs' variances.
    """

    case: str
    layers: tuple[LayerVerdict, ...]


@dataclass(frozen=True)
class Row:
    """One runtime in one lane on one device.

    Attributes:
        runtime: its name.
        lane: the lane's.
        mode: the numeric mode that it was judged by.
        status: ``holds`` or ``broken`` where it ran, ``failed`` where it began and did not end,
            ``not run`` where a package, a device or a precision that it needs is not there.
        reason: why it is not ``holds``.
        first_wrong: the first layer that is wrong by itself, or from which on the errors are too
            large where no layer alone was run; empty where there is none.
        cases: what was compared, where it ran.
        record: versions, flags, times and memory, where it was started.
        gradients: one a tensor, from the logits down; empty where gradients were not compared.
        device: where it ran, or was to; empty where not known.
        beside_cpu: one a case; only of a run on the GPU, where the CPU's was made too.
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

    @property
    def setting(self) -> str:
        """The lane, with the device where that is not the CPU."""
        return f"{self.lane}, {self.device}" if self.device == "cuda" else self.lane

    @property
    def name(self) -> str:
        """The runtime with its setting."""
        return f"{self.runtime} ({self.setting})"

    def verdicts(self, kind: Literal["accumulated", "local"]) -> Iterable[tuple[str, Verdict]]:
        """Every tap's name and verdict, of every case."""
        for case in self.cases:
            for layer in case.layers:
                if (verdict := getattr(layer, kind)) is not None:
                    yield layer.tap, verdict

    def worst(self, kind: Literal["accumulated", "local"]) -> dict[str, tuple[float, float]]:
        """Tap -> its largest ratio and its most deviations over all cases."""
        found: dict[str, tuple[float, float]] = {}
        for tap, verdict in self.verdicts(kind):
            ratio, deviations = found.get(tap, (0.0, 0.0))
            found[tap] = (max(ratio, verdict.ratio), max(deviations, verdict.deviations))
        return found


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        weights: the checkpoint.
        cases: what every runtime was given.
        device: where the runtimes ran: ``cpu``, ``cuda`` or ``both``.
        arbiter_seconds: how long the arbiter took, with the predicted errors.
        peak_bytes: the most memory of this process, which judges.
        all_required: whether the runtimes were asked for by name, so that one that was not run
            counts.
        rows: one a runtime, lane and device, in the order asked for.
    """

    weights: Weights
    cases: tuple[CaseFacts, ...]
    device: str
    arbiter_seconds: float
    peak_bytes: int
    all_required: bool
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether every row that counts holds; never where none was compared.

        Asked for both devices, nothing is shown by the CPU alone.
        """
        rows = [row for row in self.rows if self.counts(row)]
        compared = self.device != "both" or any(row.device == "cuda" for row in rows)
        return bool(rows) and compared and all(row.status == "holds" for row in rows)

    def counts(self, row: Row) -> bool:
        """Whether a row decides: it was run, or it had to be.

        Of both devices, one that does not have the lane (and so no mode) has nothing to run.
        """
        possible = bool(row.mode) or self.device != "both"
        return row.status != "not run" or (self.all_required and possible)

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        names = {status: self._named(status) for status in ("holds", "broken", "failed", "not run")}
        if self.holds:
            count = len(names["holds"])
            rows = "1 run" if count == 1 else f"{count} runs"
            return f"Parity holds: {rows} within the errors predicted of the float64 arbiter."
        if names["broken"]:
            return f"Parity is broken: {', '.join(names['broken'])}."
        if names["failed"]:
            return f"Parity is not shown: {', '.join(names['failed'])} failed."
        if names["holds"]:
            return f"Parity is not shown: {', '.join(names['not run'])} did not run."
        return "Nothing was compared: no runtime could run."

    def _named(self, status: str) -> list[str]:
        return [row.name for row in self.rows if row.status == status]


def to_json(report: Report) -> dict[str, Any]:
    """The report as a JSON document (``docs/report.md``); what JSON cannot hold is null."""
    document = {
        "schema": SCHEMA,
        "holds": report.holds,
        "summary": report.summary,
        "limits": {"ratio": LIMITS.ratio.limit, "deviations": LIMITS.deviations.limit},
        "histogram_exponents": list(HISTOGRAM_EXPONENTS),
        "device": report.device,
        "weights": dataclasses.asdict(report.weights),
        "cases": [dataclasses.asdict(case) for case in report.cases],
        "arbiter": {
            "implementation": "NumPy float64",
            "seconds": report.arbiter_seconds,
            "peak_bytes": report.peak_bytes,
        },
        "rows": [dataclasses.asdict(row) for row in report.rows],
    }
    cleaned: dict[str, Any] = _finite(document)
    return cleaned


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value

"""What ``benchmarks.cuda`` measured, held against its targets and as tables of Markdown."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import Report, Row
from vgg16_spec.errors import BadInput, require_file

_WITHIN: Final = 1.25
# Between these lines of the page is what was measured.
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Throughput:
    """One runtime in one lane at one batch size.

    Attributes:
        runtime, lane, mode: what ran, and the numeric mode whose roofline counts.
        batch: images at once; 0 where nothing was measured.
        seconds: of a batch, the median.
        runs: how many were timed.
        reason: why there is no time; empty where there is one.
    """

    runtime: str
    lane: str
    mode: str
    batch: int = 0
    seconds: float = 0.0
    runs: int = 0
    reason: str = ""

    @property
    def rate(self) -> float:
        """Images a second; 0 where nothing was measured."""
        return self.batch / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Target:
    """Something to reach: what, whether it was (none where not measured), and the figures."""

    name: str
    reached: bool | None
    said: str


@dataclass(frozen=True)
class Results:
    """What one run of the command found, besides the parity report.

    Attributes:
        configuration: the network's name.
        device: where it was measured.
        facts: card, driver, versions, date.
        operations: floating-point operations of one image, two for each multiply-add.
        rates: mode -> FLOP/s of a large matrix product.
        throughput: every measurement.
        targets: what was to be reached.
    """

    configuration: str
    device: str
    facts: dict[str, str]
    operations: int
    rates: dict[str, float]
    throughput: tuple[Throughput, ...]
    targets: tuple[Target, ...]


def speed_targets(measured: Sequence[Throughput]) -> list[Target]:
    """ONNX Runtime beside PyTorch, for each lane and batch that has both."""
    name = f"ONNX Runtime and PyTorch within {_WITHIN - 1:.0%}"
    found = {(one.runtime, one.lane, one.batch): one.rate for one in measured if one.rate}
    pairs = {
        (runtime, lane, batch): rate / found["torch", lane, batch]
        for (runtime, lane, batch), rate in found.items()
        if runtime.startswith("onnx-from-") and ("torch", lane, batch) in found
    }
    if not pairs:
        return [Target(name, None, "no lane and batch size has both")]
    return [
        Target(
            name,
            1 / _WITHIN <= ratio <= _WITHIN,
            f"{runtime}, {lane}, batch {batch}: {ratio:.2f} times PyTorch's rate",
        )
        for (runtime, lane, batch), ratio in pairs.items()
    ]


def parity_targets(report: Report) -> list[Target]:
    """The strict lane's largest figures beside the limits, a target for each runtime on the GPU."""
    name = "strict lane below R and Z"
    device = "cuda" if report.device == "both" else report.device
    rows = [row for row in report.rows if row.lane == "strict" and row.device == device]
    targets = []
    for row in rows:
        if not row.worst("accumulated"):
            targets.append(Target(name, None, f"{row.runtime}: {row.status}: {row.reason}"))
            continue
        ratio, deviations = _worst(row)
        below = ratio < LIMITS.ratio.limit and deviations < LIMITS.deviations.limit
        targets.append(Target(name, below, f"{row.runtime}: R {ratio:.2f}, Z {deviations:.1f}"))
    return targets or [Target(name, None, "no runtime was run")]


def _worst(row: Row) -> tuple[float, float]:
    figures = [*row.worst("accumulated").values(), *row.worst("local").values()]
    return max(ratio for ratio, _ in figures), max(deviations for _, deviations in figures)


def driver() -> dict[str, str]:
    """The card and its driver as ``nvidia-smi`` tells; empty where it finds none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {}
    told = subprocess.run(
        [command, "--query-gpu=name,driver_version", "--format=csv,noheader"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    first = told.stdout.strip().partition("\n")[0].split(", ")
    return dict(zip(("card", "driver"), first, strict=False)) if told.returncode == 0 else {}


def markdown(results: Results, report: Report, pictures: Mapping[str, str]) -> str:
    """Everything measured, as sections with tables, and pictures: file -> what it shows."""
    return "\n".join(
        [
            *(f"- {name}: {value}" for name, value in results.facts.items()),
            "",
            "### Targets",
            "",
            *_table(
                ("target", "reached", "figures"),
                ((t.name, _WORDS[t.reached], t.said) for t in results.targets),
            ),
            "### Parity",
            "",
            *_table(
                _PARITY,
                map(_parity, report.rows),
            ),
            *itertools.chain(*((f"![{shown}]({name})", "") for name, shown in pictures.items())),
            *_layers(report, results.device),
            "### Throughput",
            "",
            f"{results.operations / 1e9:.3g} GFLOP an image ({results.configuration}).",
            "",
            *_table(
                ("mode", "matrix product, TFLOP/s", "roofline, images/s"),
                (
                    (mode, f"{rate / 1e12:.3g}", f"{rate / results.operations:.4g}")
                    for mode, rate in results.rates.items()
                ),
            ),
            *_table(
                ("runtime", "lane", "batch", "images/s", "of the roofline", "why not"),
                (_speed(one, results) for one in results.throughput),
            ),
        ]
    ).rstrip("\n")


_PARITY: Final = (
    "runtime",
    "lane",
    "parity",
    "R",
    "Z",
    "largest logit error",
    "top-1",
    "repeats",
    "beside the CPU: R, Z",
    "why not",
)
_WORDS: Final = {True: "yes", False: "**no**", None: "not measured"}


def _parity(row: Row) -> tuple[str, ...]:
    about = (row.runtime, row.setting, row.status)
    repeats = row.record.repeats if row.record is not None else ""
    if not row.worst("accumulated"):
        return (*about, *[""] * 6, row.reason)
    ratio, deviations = _worst(row)
    decisions = [decision for case in row.cases for decision in case.decisions]
    error = max((decision.largest_error for decision in decisions), default=0.0)
    first = sum(decision.top1 == decision.arbiter_top1 for decision in decisions)
    agreed = f"{first}/{len(decisions)}"
    numbers = (f"{ratio:.2f}", f"{deviations:.1f}", f"{error:.1e}")
    return (*about, *numbers, agreed, repeats, _beside(row), row.reason)


def _beside(row: Row) -> str:
    found = [layer.accumulated for case in row.beside_cpu for layer in case.layers]
    if not found:
        return ""
    worst = (max(each.ratio for each in found), max(each.deviations for each in found))
    return f"{worst[0]:.2f}, {worst[1]:.1f}"


def _layers(report: Report, device: str) -> list[str]:
    """For each runtime, the rms error of every tap in every lane, with what was predicted."""
    lines: list[str] = []
    key = [row for row in report.rows if row.worst("accumulated") and row.device == device]
    for runtime, group in itertools.groupby(sorted(key, key=_name), _name):
        rows = list(group)
        columns = [{layer.tap: layer.accumulated for layer in row.cases[0].layers} for row in rows]
        lines += [f"### Layers: {runtime}", ""]
        lines += ["rms error, and in brackets over what was predicted.", ""]
        lines += _table(
            ("layer", *(row.lane for row in rows)),
            (
                (
                    tap,
                    *(f"{of[tap].rms_error:.1e} ({of[tap].ratio:.2f})" for of in columns),
                )
                for tap in columns[0]
                if all(tap in of for of in columns)
            ),
        )
    return lines


def _name(row: Row) -> str:
    return row.runtime


def _speed(one: Throughput, results: Results) -> tuple[str, ...]:
    about = (one.runtime, one.lane, str(one.batch or ""))
    if not one.rate:
        return (*about, "", "", one.reason)
    peak = results.rates.get(one.mode, 0.0)
    part = f"{one.rate * results.operations / peak:.0%}" if peak else ""
    return (*about, f"{one.rate:.4g}", part, "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return [*(f"| {line} |" for line in lines), ""]


def inserted(path: Path, measured: str) -> str:
    """The page with its measured part replaced.

    Raises ``BadInput`` for a page that has no such part.
    """
    page = require_file(path, "a page to write into").read_text(encoding="utf-8")
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise BadInput(path, "has no place for what was measured", f"{_BEGIN} and {_END}")
    return f"{before}{begin}\n\n{measured}\n\n{end}{after}"

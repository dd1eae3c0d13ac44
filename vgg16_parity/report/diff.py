"""What changed between two reports. Times and memory do not count: they always change."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, Final

from onnx_arbiter.limits import Tolerance
from vgg16_parity.network.coverage import Coverage
from vgg16_parity.records import CaseFacts, Kind, Row, Weights
from vgg16_parity.report.coverage import percent
from vgg16_parity.report.json import Change, Document

MOVED: Final = Tolerance(
    limit=1.5,
    reason=(
        "By which factor a tap's ratio or its deviations must change, either way. One runtime on "
        "one processor gives the same bits again in the strict lane. Other numbers of threads "
        "changed no tap of the tiny network by more than 1.03, narrower vector instructions none "
        "by more than 1.46; other kernels change at least one tap by 1.6 to 5.4, as measured "
        "between all pairs of runtimes that do not share theirs."
    ),
)

# Smaller changes of a share do not count: another processor may cut an output that is near zero.
_COVERED: Final = 1e-3
_FIGURES: Final = ("ratio", "deviations")
_KINDS: Final[tuple[Kind, ...]] = (
    "accumulated",
    "local",
    "probe",
    "gradient",
    "parameter",
    "velocity",
)


def diff_reports(older: Document, newer: Document) -> list[Change]:
    """The differences, in the newer report's order; empty if there are none."""
    both = (older, newer)
    run = _values(("device", "histogram_exponents"), *both)
    limits = _values(_FIGURES, older.limits, newer.limits)
    run |= {f"limit of {name}": pair for name, pair in limits.items()}
    found = [*_differences("run", run)]
    found += _differences("weights", _paired(*(_flat(each.weights) for each in both)))
    cases = _paired(*({f"case {case.name}": case for case in each.cases} for each in both))
    for name, pair in cases.items():
        found += _presence(name, "name", *pair) or _images(name, *pair)
    # A row's device is part of its name only if a report has both: one made on the CPU can be
    # compared with one made on a GPU.
    devices = any(each.device == "both" for each in both)
    named = ({_row_name(row, devices=devices): row for row in each.rows} for each in both)
    for name, rows in _paired(*named).items():
        found += _presence(name, "status", *rows) or _row(name, *rows)
    return found


def _row_name(row: Row, *, devices: bool) -> str:
    return f"{row.runtime} ({row.lane}, {row.device})" if devices else f"{row.runtime} ({row.lane})"


def _presence(where: str, value: str, old: Any, new: Any) -> list[Change]:
    """The change of something that only one report has."""
    if old is None:
        return [Change(where, "appeared", "", getattr(new, value))]
    if new is None:
        return [Change(where, "vanished", getattr(old, value), "")]
    return []


def _images(where: str, old: CaseFacts, new: CaseFacts) -> Iterator[Change]:
    for index, pair in enumerate(zip_longest(old.images, new.images)):
        values = _values(("label", "sha256", "top5"), *pair)
        yield from _differences(where, {f"image {index}, {k}": each for k, each in values.items()})


def _row(where: str, old: Row, new: Row) -> Iterator[Change]:
    facts = _values(("status", "mode", "first_wrong"), old, new)
    if (before := old.record) and (after := new.record):
        facts |= _values(("device", "threads", "repeats"), before, after)
        versions = _paired(before.versions, after.versions)
        facts |= {f"version of {name}": pair for name, pair in versions.items()}
        if before.seconds and after.seconds:
            flags = _paired(before.flags, after.flags)
            facts |= {f"flag {name}": pair for name, pair in flags.items()}
    yield from _differences(where, facts)
    if not (old.cases and new.cases):
        return  # The status says it.
    for kind in _KINDS:
        worst = (old.worst(kind), new.worst(kind))
        if bool(worst[0]) != bool(worst[1]):  # not a line for each tap
            yield Change(where, kind, *(f"{len(each)} compared" if each else "" for each in worst))
            continue
        for tap, figures in _paired(*worst).items():
            yield from _tap(where, f"{tap}, {kind}", *figures)
    yield from _differences(where, _paired(_outcomes(old), _outcomes(new)))
    yield from _coverage(where, old.coverage, new.coverage)


def _tap(
    where: str, what: str, old: tuple[float, float] | None, new: tuple[float, float] | None
) -> Iterator[Change]:
    if old is None or new is None:
        ratios = (f"ratio {_short(each[0])}" if each else "" for each in (old, new))
        yield Change(where, what, *ratios)
        return
    for figure, before, after in zip(_FIGURES, old, new, strict=True):
        low, high = sorted((before, after))
        near = math.isfinite(high) and high <= MOVED.limit * low
        if before != after and not near:
            yield Change(where, f"{what} {figure}", _short(before), _short(after))


def _coverage(where: str, old: Coverage | None, new: Coverage | None) -> Iterator[Change]:
    """What is exercised of all weights and, where both say so, of each tensor."""
    if old is None and new is None:
        return
    if old is None or new is None:
        shares = (percent(each.share) if each else "" for each in (old, new))
        yield Change(where, "weights exercised", *shares)
        return
    names = {"weights exercised": (old.share, new.share)}
    names |= {
        f"{name}, exercised": each for name, each in _paired(old.tensors, new.tensors).items()
    }
    for what, (before, after) in names.items():
        if abs((before or 0.0) - (after or 0.0)) > _COVERED:
            yield Change(where, what, *(percent(each or 0.0) for each in (before, after)))


def _outcomes(row: Row) -> dict[str, str]:
    return {
        f"{case.case}, image {index}: decision": decision.outcome
        for case in row.cases
        for index, decision in enumerate(case.decisions)
    }


def _flat(weights: Weights) -> dict[str, Any]:
    values = asdict(weights)
    metadata: dict[str, Any] = values.pop("metadata")
    if labels := metadata.pop("labels"):
        metadata["sha256 of labels"] = hashlib.sha256(labels.encode()).hexdigest()
    return values | metadata


def _values(names: Sequence[str], old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Attribute -> the older value and the newer one, empty for None's."""
    return {name: (getattr(old, name, ""), getattr(new, name, "")) for name in names}


def _paired(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    """Key -> the older value and the newer one, in the newer report's order."""
    return {key: (old.get(key), new.get(key)) for key in dict.fromkeys((*new, *old))}


def _differences(where: str, pairs: Mapping[str, tuple[Any, Any]]) -> Iterator[Change]:
    for what, (before, after) in pairs.items():
        if before != after:
            yield Change(where, what, _text(before), _text(after))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _short(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3g}"

"""What moved between two reports of the same kind: two documents in, a list of differences out.

A report's document is what ``vgg16_parity.records.to_json`` makes. Times and memory are left out: they
are never the same twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from onnx_arbiter.limits import Tolerance

MOVED: Final = Tolerance(
    limit=1.5,
    reason=(
        "By which factor a tap's ratio or its deviations must have changed, either way. One "
        "runtime on one processor gives the same bits again in the strict lane. Other numbers of "
        "threads moved no tap of the tiny network by more than 1.03 and narrower vector "
        "instructions none by more than 1.46; other kernels move at least one tap by 1.6 to 5.4, "
        "as measured between all pairs of runtimes that do not share theirs."
    ),
)

# What is compared of a tap: the figures that it is judged by, so that a report tells why.
_FIGURES: Final = ("ratio", "deviations")
_LAYERS: Final = ("accumulated", "local")
_TENSORS: Final = ("gradient", "parameter", "velocity")


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        where: a runtime and lane, ``weights``, ``run``, or a case.
        what: which of its values.
        before: the older report's; empty where there was none.
        after: the newer one's; empty where there is none any more.
    """

    where: str
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.before or 'none'} → {self.after or 'none'}"


def diff_reports(older: Mapping[str, Any], newer: Mapping[str, Any]) -> list[Change]:
    """What is different in the newer report; empty where nothing is.

    Args:
        older: a document of the schema, as ``vgg16_parity.report.schema.read`` gives it.
        newer: another.
    """
    run = {name: (older[name], newer[name]) for name in ("device", "histogram_exponents")}
    run |= {f"limit of {name}": (older["limits"][name], newer["limits"][name]) for name in _FIGURES}
    found = [*_differences("run", run)]
    found += _differences("weights", _paired(_flat(older["weights"]), _flat(newer["weights"])))
    cases, others = ({case["name"]: case for case in each["cases"]} for each in (older, newer))
    for name, (old, new) in _paired(cases, others).items():
        found += _named(f"case {name}", old, new) or _case(f"case {name}", old, new)
    # A row's device is part of its name where a report has both: one made on the CPU can be held
    # against one made on a GPU.
    devices = any(each["device"] == "both" for each in (older, newer))
    rows, others = (
        {_row_name(row, devices=devices): row for row in each["rows"]} for each in (older, newer)
    )
    for name, (old, new) in _paired(rows, others).items():
        found += _named(name, old, new, "status") or _row(name, old, new)
    return found


def _row_name(row: Mapping[str, Any], *, devices: bool) -> str:
    setting = f"{row['lane']}, {row['device']}" if devices else row["lane"]
    return f"{row['runtime']} ({setting})"


def _named(where: str, old: Any, new: Any, value: str = "name") -> list[Change]:
    """The move of something that appeared or vanished; none where it is in both reports."""
    if old is None:
        return [Change(where, "appeared", "", new[value])]
    if new is None:
        return [Change(where, "vanished", old[value], "")]
    return []


def _case(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    images, others = (
        {str(index): image for index, image in enumerate(case["images"])} for case in (old, new)
    )
    for index, (before, after) in _paired(images, others).items():
        for value in ("label", "sha256", "top5"):
            pair = tuple("" if image is None else image[value] for image in (before, after))
            yield from _differences(where, {f"image {index}, {value}": pair})


def _row(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for value in ("status", "mode", "first_wrong"):
        yield from _differences(where, {value: (old[value], new[value])})
    if (before := old["record"]) and (after := new["record"]):
        for value in ("device", "threads", "repeats"):
            yield from _differences(where, {value: (before[value], after[value])})
        for value, title in (("versions", "version of"), ("flags", "flag")):
            pairs = _paired(before[value], after[value])
            titled = {f"{title} {name}": pair for name, pair in pairs.items()}
            yield from _differences(where, titled)
    if not (old["cases"] and new["cases"]):
        return  # the status says what there is to say
    for kind in (*_LAYERS, *_TENSORS):
        worst, others = _worst(old, kind), _worst(new, kind)
        if bool(worst) != bool(others):  # compared in one report alone: not a line for each tap
            taps = [f"{len(each)} compared" if each else "" for each in (worst, others)]
            yield Change(where, kind, *taps)
            continue
        for tap, (was, now) in _paired(worst, others).items():
            yield from _tap(where, f"{tap}, {kind}", was, now)
    yield from _differences(where, _paired(_outcomes(old), _outcomes(new)))


def _tap(
    where: str, what: str, old: Mapping[str, float] | None, new: Mapping[str, float] | None
) -> Iterator[Change]:
    if old is None or new is None:
        ratios = [f"ratio {_short(each['ratio'])}" if each else "" for each in (old, new)]
        yield Change(where, what, *ratios)
        return
    for figure in _FIGURES:
        before, after = old[figure], new[figure]
        if before != after and not _near(before, after):
            yield Change(where, f"{what} {figure}", _short(before), _short(after))


def _near(before: float, after: float) -> bool:
    low, high = sorted((before, after))
    return math.isfinite(high) and high <= MOVED.limit * low


def _worst(row: Mapping[str, Any], kind: str) -> dict[str, dict[str, float]]:
    """Tap or tensor -> the largest of each figure over all cases; null in JSON is infinite."""
    if kind in _LAYERS:
        compared = [(each["tap"], each[kind]) for case in row["cases"] for each in case["layers"]]
    else:
        compared = [(each["tensor"], each[kind]) for each in row["gradients"]]
    found: dict[str, dict[str, float]] = {}
    for tap, verdict in compared:
        if verdict is not None:
            figures = found.setdefault(tap, dict.fromkeys(_FIGURES, 0.0))
            for name in _FIGURES:
                value = math.inf if verdict[name] is None else verdict[name]
                figures[name] = max(figures[name], value)
    return found


def _outcomes(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{case['case']}, image {index}: decision": decision["outcome"]
        for case in row["cases"]
        for index, decision in enumerate(case["decisions"])
    }


def _flat(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {**weights, **weights["metadata"], "metadata": None}


def _paired(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> the older value and the newer one, in the newer report's order."""
    return {name: (old.get(name), new.get(name)) for name in dict.fromkeys((*new, *old))}


def _differences(where: str, pairs: Mapping[str, tuple[Any, ...]]) -> Iterator[Change]:
    for what, (before, after) in pairs.items():
        if before != after:
            yield Change(where, what, _text(before), _text(after))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _short(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3g}"

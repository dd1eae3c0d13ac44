"""What ``benchmarks.tolerance`` measured, as a page and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.harness import plots
from benchmarks.harness.tables import page, provenance, table
from onnx_arbiter.limits import LIMITS

# Study -> seed -> records.
Results = Mapping[str, Mapping[str, list[dict[str, Any]]]]

_MODES: Final = ("float32", "bfloat16", "float16")


def markdown(results: Results, command: str, facts: Mapping[str, str], picture: str) -> str:
    """The page.

    Args:
        results: the studies.
        command: the command that measured.
        facts: the machine and the versions.
        picture: the plot's file name beside the page, or empty.
    """
    records = _records(results)
    ratio, deviations, share = (
        max((float(of(record)) for record in records), default=0.0)
        for of in (itemgetter("ratio"), itemgetter("deviations"), _share)
    )
    noted = sum(record["noted"] for record in records if record["kind"] == "local")
    parts = [
        "# How well errors are predicted",
        "The largest rms(error) / rms(predicted) of any image at any layer was "
        f"**{ratio:.2f}**. The limit R is {LIMITS.ratio.limit:g}, and more where few errors of an "
        f"image are independent: no error exceeded {share:.2f} of it. The largest |error| / "
        f"predicted of any element was **{deviations:.2f}**; the limit Z is "
        f"{LIMITS.deviations.limit:g}. Of {len(records):,} verdicts, {_failed(records)} failed; "
        f"{noted} layers were noted as uneven. Mistakes are "
        "[orders of magnitude larger](mistakes.md).",
        "The arbiter predicts the standard deviation of a runtime's rounding error at each "
        "element. This page compares the prediction with the errors of every runtime.",
    ]
    if picture:
        parts += [
            f"![Predicted and observed errors through the layers]({picture})",
            "A line that cannot be seen lies behind another runtime's.",
        ]
    for study, seeds in results.items():
        title = study.replace("-", " ").capitalize()
        parts += [
            f"## {title}: {len(seeds)} seeds",
            _runtimes({study: seeds}),
            _cases({study: seeds}),
        ]
    return page([*parts, provenance(command, facts)])


def plot(results: Results, path: Path) -> None:
    """Draw predicted and observed rms errors through the layers, one panel per mode, as PNG."""
    studies = {name: results[name] for name in ("float32", "fewer-bits") if name in results}
    records = [r for r in _records(studies) if r["kind"] == "accumulated"]
    modes = [mode for mode in _MODES if any(r["mode"] == mode for r in records)]
    by_mode: dict[str, list[plots.Errors]] = {}
    for mode in modes:
        of_mode = [record for record in records if record["mode"] == mode]
        taps = list(dict.fromkeys(record["tap"] for record in of_mode))
        predicted = [_median(of_mode, tap, "predicted") for tap in taps]
        for runtime in dict.fromkeys(record["runtime"] for record in of_mode):
            own = [record for record in of_mode if record["runtime"] == runtime]
            observed = [_median(own, tap, "observed") for tap in taps]
            by_mode.setdefault(mode, []).append(plots.Errors(runtime, taps, observed, predicted))
    plots.write(plots.errors(by_mode), path)


def _records(results: Results) -> list[dict[str, Any]]:
    return [record for seeds in results.values() for found in seeds.values() for record in found]


def _share(record: Mapping[str, Any]) -> float:
    """How much of its limit an R reaches."""
    return float(record["ratio"] / record["ratio_limit"])


def _failed(records: list[dict[str, Any]]) -> int:
    limit = LIMITS.deviations.limit
    return sum(_share(record) > 1 or record["deviations"] > limit for record in records)


def _runtimes(results: Results) -> str:
    """The largest figures of each runtime and mode."""
    records = _records(results)
    header = ("runtime", "mode", "R", "Z", "R, local", "Z, local", "R at the logits")
    lines = []
    for runtime, mode in dict.fromkeys((r["runtime"], r["mode"]) for r in records):
        own = [r for r in records if (r["runtime"], r["mode"]) == (runtime, mode)]
        figures = [
            max(r[figure] for r in own if r["kind"] == kind)
            for kind in ("accumulated", "local")
            for figure in ("ratio", "deviations")
        ]
        at_logits = [
            r["ratio"] for r in own if (r["tap"], r["kind"]) == ("predictions", "accumulated")
        ]
        lines.append((runtime, mode, *(f"{each:.2f}" for each in (*figures, max(at_logits)))))
    return table(header, lines, words=2)


def _cases(results: Results) -> str:
    """The largest figures of each stress input; empty if there are none."""
    records = [r for r in _records(results) if not r["case"].startswith("image ")]
    lines = []
    for case in dict.fromkeys(record["case"] for record in records):
        own = [record for record in records if record["case"] == case]
        worst = max(own, key=_share)
        most = max(float(record["deviations"]) for record in own)
        where = f"{worst['tap']}, {worst['kind']}, {worst['runtime']}"
        figures = (worst["ratio"], worst["ratio_limit"], most)
        lines.append((case, where, *(f"{figure:.2f}" for figure in figures)))
    header = ("input", "where R is nearest its limit", "R", "its limit", "Z")
    return table(header, lines, words=2) if lines else ""


def _median(records: list[dict[str, Any]], tap: str, figure: str) -> float:
    return float(median(record[figure] for record in records if record["tap"] == tap))

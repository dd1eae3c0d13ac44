"""What ``benchmarks.tolerance`` measured, as a page and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import plots
from onnx_arbiter.limits import LIMITS

Results = Mapping[str, Mapping[str, list[dict[str, Any]]]]

_MODES: Final = ("float32", "bfloat16", "float16")


def markdown(results: Results, facts: Mapping[str, str], picture: str) -> str:
    """The report; ``picture`` is the plot's file name beside it, or empty."""
    ratio, deviations = (
        max((record[figure] for record in _records(results)), default=0.0)
        for figure in ("ratio", "deviations")
    )
    lines = [
        "# How well errors are predicted",
        "",
        "The arbiter predicts the standard deviation of a runtime's rounding error at each element",
        "(`vgg16_parity/network/prediction.py`). Here it is held against what every runtime did. Made by",
        "",
        "```sh",
        "python -m benchmarks.tolerance --json build/tolerance.json --markdown docs/measured/tolerance.md",
        "```",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "The largest rms(error) / rms(predicted) of any image at any layer was",
        f"**{ratio:.2f}**; the limit R is {LIMITS.ratio.limit:g}. The largest |error| / predicted",
        f"of any element was **{deviations:.2f}**; the limit Z is {LIMITS.deviations.limit:g}.",
        "Mistakes are [orders of magnitude above](mistakes.md).",
        "",
    ]
    if picture:
        lines += [f"![Predicted and observed errors through the layers]({picture})", ""]
        lines += ["Where a runtime's line is not seen, it lies behind another's.", ""]
    for study, seeds in results.items():
        lines += [f"## {study.capitalize()}: {len(seeds)} seeds", ""]
        lines += _table({study: seeds})
        lines += _cases({study: seeds})
    return "\n".join(lines).rstrip() + "\n"


def plot(results: Results, path: Path) -> None:
    """Predicted and observed rms errors through the layers, a panel a mode, as PNG."""
    studies = {name: results[name] for name in ("float32", "fewer bits") if name in results}
    records = [r for r in _records(studies) if r["kind"] == "accumulated"]
    modes = [mode for mode in _MODES if any(r["mode"] == mode for r in records)]
    titles = (f"{mode}: rms error of a layer's outputs" for mode in modes)
    figure, panels = plots.panels(titles, height=3.4)
    for mode, panel in zip(modes, panels, strict=False):
        of_mode = [record for record in records if record["mode"] == mode]
        taps = list(dict.fromkeys(record["tap"] for record in of_mode))
        predicted = [_median(of_mode, tap, "predicted") for tap in taps]
        panel.semilogy(taps, predicted, color="black", linewidth=2, label="predicted")
        for runtime, colour in plots.colours(record["runtime"] for record in of_mode).items():
            own = [record for record in of_mode if record["runtime"] == runtime]
            observed = [_median(own, tap, "observed") for tap in taps]
            panel.semilogy(taps, observed, color=colour, marker=".", label=runtime)
        plots.name_layers(panel)
        panel.legend(fontsize=8, ncols=2, frameon=False)
    plots.write(figure, path)


def _records(results: Results) -> list[dict[str, Any]]:
    return [record for seeds in results.values() for found in seeds.values() for record in found]


def _table(results: Results) -> list[str]:
    """The largest figures of each runtime and mode."""
    records = _records(results)
    head = (
        "| runtime | mode | ratio | deviations | ratio, alone | deviations, alone | at the logits |"
    )
    lines = [head, "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for runtime, mode in dict.fromkeys((r["runtime"], r["mode"]) for r in records):
        own = [r for r in records if (r["runtime"], r["mode"]) == (runtime, mode)]
        figures = [
            f"{max(r[figure] for r in own if r['kind'] == kind):.2f}"
            for kind in ("accumulated", "local")
            for figure in ("ratio", "deviations")
        ]
        logits = [
            r["ratio"] for r in own if (r["tap"], r["kind"]) == ("predictions", "accumulated")
        ]
        lines.append(f"| {runtime} | {mode} | {' | '.join(figures)} | {max(logits):.2f} |")
    return [*lines, ""]


def _cases(results: Results) -> list[str]:
    """The largest figures of each input, where there is more than the seeds' own images."""
    records = [r for r in _records(results) if not r["case"].startswith("image ")]
    if not records:
        return []
    lines = ["| input | ratio | deviations | where |", "| --- | ---: | ---: | --- |"]
    for case in dict.fromkeys(record["case"] for record in records):
        own = [record for record in records if record["case"] == case]
        worst = max(own, key=lambda record: float(record["ratio"]))
        most = max(float(record["deviations"]) for record in own)
        where = f"{worst['tap']}, {worst['kind']}, {worst['runtime']}"
        lines.append(f"| {case} | {worst['ratio']:.2f} | {most:.2f} | {where} |")
    return [*lines, ""]


def _median(records: list[dict[str, Any]], tap: str, figure: str) -> float:
    from statistics import median

    return float(median(record[figure] for record in records if record["tap"] == tap))

"""The page of the siblings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from benchmarks.harness.tables import page, provenance, table
from benchmarks.siblings.networks import SIBLINGS
from onnx_arbiter.limits import LIMITS
from vgg16_spec.errors import counted

Record: TypeAlias = Mapping[str, Any]
Results: TypeAlias = Mapping[str, Mapping[str, Record]]

_EXPLANATION: Final = """\
R is rms(error) / rms(predicted), Z the largest error in predicted standard deviations, each at the
worst value of any run and seed. *Alone* is each node given the arbiter's inputs. Every value of
each graph is compared."""


def markdown(results: Results, line: str, facts: Mapping[str, str]) -> str:
    """The page."""
    measured = {name: seeds for name, seeds in results.items() if seeds}
    return page(
        [
            "# Networks that are not VGG16",
            _summary(measured),
            "Each network comes from the library that people use, with seeded weights and running "
            "statistics that are not trivial. Its graph, as the framework exports it, is judged in "
            "that framework and in the runtimes. A runtime that computes in fewer bits than "
            "float32 by default, as OpenVINO does "
            "on some processors and ONNX Runtime on a GPU, is judged in the mode that it takes.",
            "## No false alarm",
            _EXPLANATION,
            _networks(measured),
            "## Families",
            _families(measured),
            *_of_mistakes(measured),
            provenance(line, facts),
        ]
    )


def _records(seeds: Mapping[str, Record]) -> list[Record]:
    return [record for record in seeds.values() if not record["error"]]


def _runs(results: Results) -> Iterator[tuple[str, Record]]:
    for name, seeds in results.items():
        for record in _records(seeds):
            for run in record["runs"]:
                yield name, run


def _planted(results: Results) -> Iterator[tuple[str, Record]]:
    for name, seeds in results.items():
        for record in _records(seeds):
            for mistake in record["mistakes"]:
                yield name, mistake


def _summary(results: Results) -> str:
    runs, mistakes = list(_runs(results)), list(_planted(results))
    alarms = [run for _, run in runs if run["status"] != "holds"]
    named = [mistake for _, mistake in mistakes if mistake["named"]]
    values = sum(run["values"] for _, run in runs)
    failed = [
        f"{name}, seed {seed}: {record['error']}"
        for name, seeds in results.items()
        for seed, record in seeds.items()
        if record["error"]
    ]
    seeds = sorted({len(_records(found)) for found in results.values()})
    text = (
        f"Of {len(runs)} runs of {counted(len(results), 'network')} without a mistake, "
        f"{_span(seeds)} each, **{len(alarms)}** did not hold; {values:,} values were compared."
    )
    if mistakes:
        text += f" Of {len(mistakes)} planted mistakes, **{len(named)}** were named at their node."
    if failed:
        text += "\n\nNot measured:\n\n" + "\n".join(f"- {line}" for line in failed)
    return text


def _largest(runs: list[Record], figure: str) -> str:
    return f"{max((run[figure] for run in runs), default=0.0):.2f}"


def _span(seeds: list[int]) -> str:
    if seeds == [1]:
        return "one seed"
    return f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds"


def _networks(results: Results) -> str:
    header = (
        "network", "library", "pixels", "runs", "hold", "R", "Z", "R alone", "Z alone", "mistakes",
        "named", "seconds",
    )  # fmt: skip
    rows = []
    for name, seeds in results.items():
        records, sibling = _records(seeds), SIBLINGS[name]
        runs = [run for record in records for run in record["runs"]]
        mistakes = [mistake for record in records for mistake in record["mistakes"]]
        seconds = sorted(record["seconds"] for record in records)
        rows.append(
            (
                name,
                sibling.library,
                str(sibling.size),
                str(len(runs)),
                str(sum(run["status"] == "holds" for run in runs)),
                _largest(runs, "ratio"),
                _largest(runs, "deviations"),
                _largest(runs, "local_ratio"),
                _largest(runs, "local_deviations"),
                str(len(mistakes)),
                str(sum(mistake["named"] for mistake in mistakes)),
                f"{seconds[len(seconds) // 2]:.0f}" if seconds else "–",
            )
        )
    return table(header, rows, words=2)


def _families(results: Results) -> str:
    families: dict[str, list[Record]] = {}
    for name, run in _runs(results):
        families.setdefault(SIBLINGS[name].family, []).append(run)
    rows = [
        (family, *(_largest(runs, f) for f in ("ratio", "deviations")))
        for family, runs in families.items()
    ]
    limits = ("limit", f"{LIMITS.ratio.limit:g}", f"{LIMITS.deviations.limit:g}")
    return table(("family", "R", "Z"), [*rows, limits])


def _of_mistakes(results: Results) -> list[str]:
    if not any(_planted(results)):
        return []
    return [
        "## Planted mistakes",
        "Mistakes are planted in the graph, one at a time, and ONNX Runtime on the CPU computes "
        "that. A mistake counts as named if the first wrong value is that of its node, on the "
        "values of a forward pass, without any node alone.",
        _mistakes(results),
        _unnamed(results),
    ]


def _mistakes(results: Results) -> str:
    kinds: dict[str, list[Record]] = {}
    for _, mistake in _planted(results):
        kinds.setdefault(mistake["mistake"], []).append(mistake)
    rows = [
        (
            kind,
            str(len(found)),
            str(sum(each["named"] for each in found)),
            str(sum(bool(each["cause"]) for each in found)),
            f"{min(each['ratio'] for each in found):.3g}",
        )
        for kind, found in kinds.items()
    ]
    return table(("mistake", "planted", "named", "explained", "smallest R"), rows)


def _unnamed(results: Results) -> str:
    missed = [
        f"- {name}: {each['mistake']} at {each['node']}, "
        + (f"named at {each['guilty']}" if each["guilty"] else f"holds, R {each['ratio']:.2f}")
        for name, each in _planted(results)
        if not each["named"]
    ]
    return "Not named at their node:\n\n" + "\n".join(missed) if missed else ""

"""``python -m benchmarks.engines``: run every engine, write the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from benchmarks.harness import command, machine
from benchmarks.harness.tables import GB, number, page, provenance, table
from onnx_arbiter.limits import LIMITS
from vgg16_parity.records import Row, iter_verdicts
from vgg16_parity.run import run_parity
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import DISTRIBUTIONS, ENGINES
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

_PACKAGE: Final = "benchmarks.engines"
_LANES: Final = ("strict", "default")
# What an engine's packages are called in a row's versions, the engine's own first.
_SHOWN: Final = {
    "opencv": DISTRIBUTIONS["cv2"],
    "openvino": ("openvino",),
    "ncnn": ("ncnn",),
    "mnn": ("MNN",),
    "litert": ("ai-edge-litert",),
    # Keras on OpenVINO: to the registry a backend of Keras, not an engine.
    "": ("openvino", "keras"),
}
_HEADER: Final = (
    "engine",
    "version",
    "lane",
    "set to",
    "judged as",
    "verdict",
    "worst layer",
    "R",
    "Z",
    "R, local",
    "load (s)",
    "run (s)",
    "GB",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 if an engine that is installed does not hold."""
    parser = command.parser(_PACKAGE)
    known = list(ENGINES)
    listed = f"comma-separated (default: {','.join(known)})"
    parser.add_argument("--engines", type=command.names(known), default=known, help=listed)
    parser.add_argument("--configuration", default="D", help="default: D, which is VGG16")
    chosen = parser.parse_args(arguments)
    report = run_parity(
        seeded_checkpoint(chosen.configuration),
        [photograph.path for photograph in PHOTOGRAPHS],
        [ENGINES[name] for name in chosen.engines],
        lanes=[LANES[name] for name in _LANES],
        timeout=1200,
        progress=command.say,
    )
    facts = machine.measurement_facts(("torch", "numpy"), chosen.date)
    command.publish(_page(report.rows, command.line(_PACKAGE, arguments), facts), chosen)
    return 0 if report.holds else 1


def _page(rows: Sequence[Row], asked: str, facts: dict[str, str]) -> str:
    told = [f"- {row.name}: {line}" for row in rows for line in _told(row)]
    parts = [
        "# Other engines",
        "`vgg16 parity --runtimes all` also runs engines that are widely used and that this "
        "project had no hand in. Below is VGG16 at full size with seeded weights on both "
        f"photographs. R (limit {LIMITS.ratio.limit:g}) and Z (limit "
        f"{LIMITS.deviations.limit:g}) are taken at the worst of all layers, *R, local* over the "
        "layers by themselves; the *worst layer* is the one with the largest Z.",
        "The *strict* lane is the engine's own float32; *default* is what it does when nothing is "
        "set. Where both give the same bits there is one row. *Judged as* is the numeric mode "
        "that predicts the errors: the engine's own where its default is not float32.",
        "All but the last read one exported ONNX file. OpenCV and OpenVINO open it; MNN's "
        "converter converts it; for ncnn and LiteRT it is written in their format, node by node. "
        "Keras loads the checkpoint itself.",
        table(_HEADER, (_cells(row) for row in _merged(rows)), words=7),
        "*Load* is the time until the network is ready, *run* that of its first run on both "
        "photographs with every layer as an output; *GB* is the process's peak memory.",
        "\n".join(["What the report says of them:", "", *told]) if told else "",
    ]
    return page([*parts, provenance(asked, facts)])


def _merged(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows, without those that took another lane's results; that lane names both."""
    taken = {row.runtime for row in rows if _is_taken(row)}
    for row in rows:
        if not _is_taken(row):
            yield replace(row, lane="both") if row.runtime in taken else row


def _is_taken(row: Row) -> bool:
    return row.record is not None and not row.record.error and not row.record.seconds


def _told(row: Row) -> Iterator[str]:
    if row.reason:
        yield f"{row.status}: {row.reason}"
    if not _is_taken(row):
        yield from (note for case in row.cases for note in case.notes)
    if row.record is not None and row.record.repeats == "differs":
        yield f"a second run gave other bits from {row.record.differs_from} on"


def _cells(row: Row) -> tuple[str, ...]:
    record = row.record
    verdicts = [(v.deviations, v.ratio, tap) for _, tap, v in iter_verdicts(row, "accumulated")]
    deviations, _, worst = max(verdicts, default=(None, None, ""))
    ratio = max((ratio for _, ratio, _ in verdicts), default=None)
    local = max((v.ratio for _, _, v in iter_verdicts(row, "local")), default=None)
    seconds = record.seconds if record else {}
    load = seconds["import"] + seconds["load"] if "load" in seconds else None
    flags = ", ".join(f"{name} {value}" for name, value in record.flags.items()) if record else ""
    return (
        row.runtime,
        _version(row),
        row.lane,
        flags,
        row.mode,
        row.status,
        worst,
        number(ratio),
        number(deviations),
        number(local),
        number(load, 1),
        number(seconds.get("run"), 1),
        number(record.peak_bytes if record and record.peak_bytes else None, 1, GB),
    )


def _version(row: Row) -> str:
    versions = {} if row.record is None else row.record.versions
    names = _SHOWN[ENGINES[row.runtime].engine]
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


if __name__ == "__main__":
    raise SystemExit(main())

"""What porting weights from format to format costs: seconds and memory, each direction.

    python -m benchmarks.port --configuration D --repeats 5 --markdown out.md --json out.json

Every measurement is a process of its own; those of one direction take turns, repeat by repeat.

*Port* is what ``vgg16 port`` does: the file is read (its format found from its content, its
  checksums and values looked at), written, and on the disk when it ends (fsync, rename).
  The same process has ported the tiny network before: everything is imported when time starts.
*Copy* is a plain copy of the source file that is on the disk when it ends (fsync).
*Permutation* is one pass over as many values in memory, from the source's order to the target's,
  into one buffer; all of that memory was touched before. 0 where both have the same order.
*Ratio* is the port's time over that of the copy and the permutation.
*Peak above imports* is the most memory while the clock ran, less what there was when it started,
  without pages of mapped files; sampled every 5 ms. The JSON has it with them too
  (``resident_above_bytes``).
*Naive* is the usual way, through the other framework's model: ``torch.load``, ``set_weights``,
  ``save_weights``, or ``load_weights``, ``load_state_dict``, ``torch.save``. Keras runs on PyTorch
  (``KERAS_BACKEND=torch``), so that TensorFlow is not needed. What it saves is not waited for to be
  on the disk, and its models begin with the values that their constructors draw.

Times are the shortest of the repeats, memory is the largest. The page cache holds the source, and
what was written before is on the disk before the next process starts. Not medians: a virtual
machine's host hands over memory for the page cache when it is first written to, and that takes
anything up to a second for 0.5 GB, whoever writes. The JSON has every repeat. In the first repeat
every file that was written is read again, after the clock stopped: other values are an error.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.harness import machine, measure
from benchmarks.harness.measure import Limits, Outcome
from benchmarks.port import report
from benchmarks.port.naive import NAIVE
from benchmarks.port.report import Direction, Results, Row
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_weights.registry import module

_WORKER: Final = "benchmarks.port.worker"
_PACKAGES: Final = ("numpy", "h5py", "safetensors", "torch", "torchvision", "keras")
_SEEDED: Final = "safetensors"
# By source, so that each can be removed before the next is made.
DIRECTIONS: Final = (
    Direction("safetensors", "keras-weights-h5"),
    Direction("safetensors", "torchvision"),
    Direction("safetensors", "keras"),
    Direction("keras-weights-h5", "safetensors"),
    Direction("keras-weights-h5", "torchvision"),
    Direction("torchvision", "safetensors"),
    Direction("torchvision", "keras-weights-h5"),
    Direction("torchvision", "keras-h5"),
    Direction("keras-h5", "torchvision"),
    Direction("timm", "npz"),
    Direction("npz", "timm"),
)
_BLOCK: Final = 1 << 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 where something failed, whatever the figures."""
    chosen = _parser().parse_args(arguments)
    facts = machine.describe(_PACKAGES, chosen.date)
    limits = Limits(chosen.time_limit, int(chosen.memory_limit * 2**30))
    reference = seeded_checkpoint(chosen.configuration).file
    with TemporaryDirectory(prefix="benchmark-port-", dir=chosen.folder) as folder:
        bench = _Bench(chosen.configuration, reference, Path(folder), limits)
        rows = bench.measure(chosen.directions, chosen.repeats)
    results = Results(chosen.configuration, chosen.repeats, facts, rows)
    text = report.markdown(results)
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text, encoding="utf-8")
    if chosen.json:
        document = json.dumps(report.document(results), indent=1)
        chosen.json.write_text(document + "\n", encoding="utf-8")
    return 1 if any(row.errors for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.port", description=summary)
    add = parser.add_argument
    known = ",".join(map(":".join, DIRECTIONS))
    add("--configuration", default="D", choices=list(CONFIGURATIONS), help="the network")
    add("--repeats", type=_count, default=5, help="processes of each measurement")
    add("--directions", type=_directions, default=DIRECTIONS, help=f"only these of {known}")
    add("--time-limit", type=float, default=300, help="seconds of a process")
    add("--memory-limit", type=float, default=18, help="GiB of resident memory of a process")
    add("--folder", type=Path, help="where the temporary folder is made; needs 1.2 GB for D")
    add("--date", default=datetime.date.today().isoformat(), help="printed with the results")
    add("--markdown", type=Path, help="write the report here too")
    add("--json", type=Path, help="write every figure here")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return number


def _directions(text: str) -> tuple[Direction, ...]:
    asked = text.split(",")
    known = {":".join(direction): direction for direction in DIRECTIONS}
    if unknown := [name for name in asked if name not in known]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return tuple(direction for name, direction in known.items() if name in asked)


class _Bench:
    """A folder for the files, and the measurements in it.

    Args:
        configuration: the network's name.
        reference: its seeded checkpoint, which all files are made from.
        folder: an empty one.
        limits: of each process.
    """

    def __init__(self, configuration: str, reference: Path, folder: Path, limits: Limits) -> None:
        self._configuration = configuration
        self._reference = reference
        self._folder = folder
        self._limits = limits

    def measure(self, directions: Sequence[Direction], repeats: int) -> list[Row]:
        """Every direction, its source made when first needed and removed after the last time."""
        rows = []
        for number, direction in enumerate(directions):
            row = Row(direction)
            source = self._source(direction.source, row)
            if not row.error:
                row.source_bytes = source.stat().st_size
                for repeat in range(repeats):
                    _say(f"{repeat + 1} of {repeats}: {direction.title}")
                    self._repeat(row, source, first=not repeat)
            rows.append(row)
            needed = any(later.source == direction.source for later in directions[number + 1 :])
            if not needed and source != self._reference:
                source.unlink(missing_ok=True)
        return rows

    def _source(self, name: str, row: Row) -> Path:
        """The weights in a format; why there is no such file goes into the row."""
        if name == _SEEDED:
            return self._reference
        path = self._path("source", name)
        if not path.exists():
            _say(f"source: {name}")
            row.error = self._run("port", Direction(_SEEDED, name), self._reference, path).error
        return path

    def _repeat(self, row: Row, source: Path, *, first: bool) -> None:
        """Each measurement of a direction once."""
        measured = {"port": row.ports, "units": row.units}
        if row.direction in NAIVE:
            measured["naive"] = row.naive
        out = self._path("out", row.direction.target)
        for task, outcomes in measured.items():
            outcomes.append(self._run(task, row.direction, source, out, check=first))
            out.unlink(missing_ok=True)

    def _run(
        self, task: str, direction: Direction, source: Path, out: Path, *, check: bool = False
    ) -> Outcome:
        _warm(source)
        if hasattr(os, "sync"):
            os.sync()
        job = {
            "task": task,
            "configuration": self._configuration,
            "from": direction.source,
            "to": direction.target,
            "source": str(source),
            "out": str(out),
            "reference": str(self._reference),
            "check": check,
        }
        return measure.run(_WORKER, job, self._limits, {"KERAS_BACKEND": "torch"})

    def _path(self, stem: str, name: str) -> Path:
        # timm's ending means another format to us, as it is the canonical one's.
        return self._folder / f"{stem}-{name}{module(name).FORMAT.ending or '.safetensors'}"


def _warm(path: Path) -> None:
    """Have a file in the page cache."""
    with path.open("rb", buffering=0) as file:
        read: Callable[[int], Any] = file.read
        while read(_BLOCK):
            pass


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)

"""``python -m benchmarks.mutants ROOM``: change the room's code; count what its tests notice."""

from __future__ import annotations

import itertools
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import command
from benchmarks.mutants import survivors
from benchmarks.mutants.changes import Key, changes
from benchmarks.mutants.report import Result, failures, summary
from benchmarks.mutants.rooms import ROOMS
from benchmarks.mutants.trial import Trial
from vgg16_spec.errors import BadInput

_PACKAGE: Final = "benchmarks.mutants"
_PROJECT: Final = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the changes; the exit status is 1 if too few are noticed, or one survives unlisted."""
    parser = command.parser(_PACKAGE)
    add = parser.add_argument
    add("room", choices=ROOMS, help="whose code is changed")
    add("--sample", type=command.positive, help="try N changes drawn at random instead of all")
    add("--seed", type=int, default=0, help="another seed, another sample (default: 0)")
    add("--minutes", type=float, help="stop after so long; the same command goes on from there")
    add("--near", action="store_true", help="try only the tests of each module's own folder")
    chosen = parser.parse_args(arguments)
    try:
        known = survivors.listed(_PROJECT / survivors.LISTED)
        results = list(_tried(chosen))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    whole = chosen.sample is None and chosen.minutes is None
    command.publish(summary(chosen.room, results, known), chosen)
    broken = failures(results, known, whole=whole)
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


def _tried(chosen: Namespace) -> Iterator[Result]:
    """Try the changes that have no result yet, and write each result as it comes."""
    room, minutes = ROOMS[chosen.room], chosen.minutes
    folder = _PROJECT / "build" / "mutants" / chosen.room
    modules = list(room.modules(_PROJECT))
    command.say(f"{chosen.room}: collecting the tests")
    trial = Trial(_PROJECT, folder, modules, room.test_files(_PROJECT), near=chosen.near)
    kept = folder / ("near.jsonl" if chosen.near else "results.jsonl")
    known: dict[Key, Result] = {}
    if kept.is_file():
        read = (Result.read(line) for line in kept.read_text(encoding="utf-8").splitlines())
        known = {result.key: result for result in read}
    end = None if minutes is None else time.monotonic() + 60 * minutes
    with kept.open("a", encoding="utf-8") as file:
        drawn = itertools.islice(changes(_PROJECT, modules, chosen.seed), chosen.sample)
        for nth, change in enumerate(drawn, 1):
            if change.key not in known:
                if known and end is not None and time.monotonic() > end:
                    return
                result = Result(change.key, change.row, trial.outcome(change))
                known[change.key] = result
                file.write(result.written() + "\n")
                file.flush()
                command.say(f"{nth}: {result.outcome}: {result.line}")
            yield known[change.key]


if __name__ == "__main__":
    sys.exit(main())

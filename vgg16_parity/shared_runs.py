"""On a CPU the default lane mostly gives the bits of the strict lane: one run does for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from vgg16_parity.records import Row
from vgg16_parity.runtimes.lanes import LANES, Lane


def rows_of_lanes(
    run: Callable[[Lane], list[Row]], lanes: Sequence[Lane], *, shared: bool
) -> Iterator[Row]:
    """A runtime's rows in every lane, in the order of the lanes; ``run`` runs it in one.

    If they are shared, the default lane takes the results of the strict lane, which alone is run
    twice. What fails, or does not repeat, may differ there and is run in both.
    """
    strict, default = LANES["strict"], LANES["default"]
    found: dict[str, list[Row]] = {}
    if shared and strict in lanes and default in lanes:
        found["strict"] = run(strict)
        if all(
            row.status != "failed" and (row.record is None or row.record.repeats != "differs")
            for row in found["strict"]
        ):
            found["default"] = [_taken(row) for row in found["strict"]]
    for lane in lanes:
        yield from found[lane.name] if lane.name in found else run(lane)


def _taken(row: Row) -> Row:
    """The strict lane's row in the default lane: with a note, without its cost and flags."""
    note = f"taken from the {row.lane} lane, which computes the same bits here"
    first = [replace(case, notes=(note, *case.notes)) for case in row.cases[:1]]
    record = row.record and replace(
        row.record, seconds={}, flags={}, peak_bytes=0, repeats="", differs_from=""
    )
    return replace(row, lane="default", cases=(*first, *row.cases[1:]), record=record)

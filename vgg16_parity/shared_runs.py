"""Lanes in which a runtime has the same settings: they share one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from vgg16_parity.records import Row
from vgg16_parity.runtimes.lanes import LANES, Device, Lane, run_in
from vgg16_parity.runtimes.registry import Runtime


def rows_of_lanes(
    run: Callable[[Lane], list[Row]],
    runtime: Runtime,
    lanes: Sequence[Lane],
    devices: Sequence[Device],
    *,
    gradients: bool,
) -> Iterator[Row]:
    """A runtime's rows in every lane.

    Args:
        run: runs it in a lane, a row for each device.
        runtime: the runtime.
        lanes: in the order of the rows.
        devices: where each lane runs.
        gradients: whether gradients are computed too.
    """

    @cache
    def rows(name: str) -> list[Row]:
        return run(LANES[name])

    for lane in lanes:
        source = run_in(lane, lanes, devices, runtime.computed_by, gradients=gradients).name
        # What fails in one lane may work in another.
        failed = any(row.status == "failed" for row in rows(source))
        yield from (_taken(row, lane) for row in rows(lane.name if failed else source))


def _taken(row: Row, lane: Lane) -> Row:
    """The row in this lane; if another lane was run for it, without its cost and with a note."""
    if row.lane == lane.name:
        return row
    note = f"taken from the {row.lane} lane, which computes the same bits here"
    first = [replace(case, notes=(note, *case.notes)) for case in row.cases[:1]]
    record = row.record and replace(row.record, seconds={}, repeats="", differs_from="")
    return replace(row, lane=lane.name, cases=(*first, *row.cases[1:]), record=record)

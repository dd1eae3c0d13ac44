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
        yield from (
            _taken(row, lane) for row in rows(source if _can_stand_for(rows(source)) else lane.name)
        )


def _can_stand_for(rows: Sequence[Row]) -> bool:
    """Whether a lane's rows are another's: what fails, or does not repeat, may differ there."""
    return all(
        row.status != "failed" and (row.record is None or row.record.repeats != "differs")
        for row in rows
    )


def _taken(row: Row, lane: Lane) -> Row:
    """The row in this lane; if another was run for it, without its cost and flags, with a note."""
    if row.lane == lane.name:
        return row
    note = f"taken from the {row.lane} lane, which computes the same bits here"
    first = [replace(case, notes=(note, *case.notes)) for case in row.cases[:1]]
    record = row.record and replace(
        row.record, seconds={}, flags={}, peak_bytes=0, repeats="", differs_from=""
    )
    return replace(row, lane=lane.name, cases=(*first, *row.cases[1:]), record=record)

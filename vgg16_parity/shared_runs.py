"""Lanes in which a runtime has the same settings: they share one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from vgg16_parity.records import Row
from vgg16_parity.runtimes.lanes import Device, Lane, run_in
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
    finished: dict[str, list[Row]] = {}
    for lane in lanes:
        source = run_in(lane, lanes, devices, runtime.computed_by, gradients=gradients)
        for which in dict.fromkeys((source.name, lane.name)):
            if which not in finished:
                finished[which] = run(source if which == source.name else lane)
            # What fails in one lane may work in another.
            if not any(row.status == "failed" for row in finished[which]):
                break
        yield from (_taken(row, lane) for row in finished[which])


def _taken(row: Row, lane: Lane) -> Row:
    """A row of the lane, which another lane was run for if its name differs.

    The first case says so, and the cost is the other lane's.
    """
    if row.lane == lane.name:
        return row
    note = f"taken from the {row.lane} lane, which computes the same bits here"
    first = [replace(case, notes=(note, *case.notes)) for case in row.cases[:1]]
    record = row.record and replace(row.record, seconds={}, repeats="", differs_from="")
    return replace(row, lane=lane.name, cases=(*first, *row.cases[1:]), record=record)

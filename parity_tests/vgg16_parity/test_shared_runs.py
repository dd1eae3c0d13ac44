"""When the default lane takes the strict lane's results, and when it runs by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parity_tests.support.pages.reports import RECORD, row
from vgg16_parity.records import Row
from vgg16_parity.runtimes.lanes import LANES, Lane
from vgg16_parity.shared_runs import rows_of_lanes

ONCE = replace(RECORD, repeats="equal")
TWICE = replace(RECORD, repeats="differs")


@pytest.mark.parametrize(
    ("strict", "shared", "runs"),
    [
        (row(record=ONCE), True, ["strict"]),
        (row(record=ONCE, status="broken"), True, ["strict"]),
        (row(record=None, status="not run"), True, ["strict"]),
        (row(record=ONCE), False, ["strict", "default"]),
        (row(record=ONCE, status="failed"), True, ["strict", "default"]),
        (row(record=TWICE), True, ["strict", "default"]),
    ],
    ids=["holds", "broken", "not run", "not shared", "failed", "does not repeat"],
)
def test_what_fails_or_does_not_repeat_is_run_in_both_lanes(
    strict: Row, shared: bool, runs: list[str]
) -> None:
    ran = []

    def run(lane: Lane) -> list[Row]:
        ran.append(lane.name)
        return [replace(strict, lane=lane.name)]

    lanes = [LANES["default"], LANES["strict"]]
    rows = list(rows_of_lanes(run, lanes, shared=shared))
    assert sorted(ran) == sorted(runs)
    assert [each.lane for each in rows] == ["default", "strict"]
    assert {each.status for each in rows} == {strict.status}

"""The same run twice gives the same bits in the strict lane, or the report says who does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.support.helpers import PICTURES
from parity_tests.support.pages.reports import report
from vgg16_parity import run
from vgg16_parity.records import Row
from vgg16_parity.report.table import remarks
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES, own_port
from vgg16_spec.checkpoint import Checkpoint

# Off by far less than what is allowed, and never by the same twice.
PORT = """
import numpy as np
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_parity.network import reference

CALLS = []

def taps(images, weights):
    found = reference.run_with_taps(open_checkpoint(weights), images)
    return {name: found[name].astype(np.float32) for name in ("block2_pool", "fc1", "predictions")}

def wandering(images, weights):
    CALLS.append(0)
    found = taps(images, weights)
    if len(CALLS) % 2:
        lit = found["fc1"] > 0
        found["fc1"][lit] = np.nextafter(found["fc1"][lit], np.float32(np.inf))
    return found

def growing(images, weights):
    CALLS.append(0)
    found = taps(images, weights)
    return found if len(CALLS) == 1 else {"predictions": found["predictions"]}

def signed(images, weights):
    CALLS.append(0)
    found = taps(images, weights)
    zeros = found["fc1"] == 0
    assert zeros.any()
    found["fc1"][zeros] = -0.0 if len(CALLS) == 2 else 0.0
    return found
"""


def row_of(checkpoint: Checkpoint, folder: Path, function: str, lane: str = "strict") -> Row:
    (folder / "mine.py").write_text(PORT)
    chosen = own_port(f"{folder / 'mine.py'}:{function}")
    (row,) = run.run_parity(checkpoint, PICTURES[:1], [chosen], lanes=[LANES[lane]]).rows
    assert row.status == "holds", row.reason
    return row


@pytest.mark.parametrize(
    ("function", "repeats", "first"),
    [
        ("taps", "equal", ""),
        ("wandering", "differs", "fc1"),
        ("growing", "differs", "block2_pool"),
        ("signed", "differs", "fc1"),
    ],
)
def test_a_port_that_is_not_the_same_twice_is_told_by_its_first_tap(
    tiny: Checkpoint, tmp_path: Path, function: str, repeats: str, first: str
) -> None:
    row = row_of(tiny, tmp_path, function)
    assert row.record is not None
    assert (row.record.repeats, row.record.differs_from) == (repeats, first)
    said = f"mine:{function} (strict): a second run gave other bits from {first} on"
    assert (said in remarks(report(row))) is (repeats == "differs")


def test_only_the_strict_lane_is_run_twice(tiny: Checkpoint, tmp_path: Path) -> None:
    row = row_of(tiny, tmp_path, "wandering", "default")
    assert row.record is not None
    assert row.record.repeats == ""
    assert "repeat" not in row.record.seconds


@pytest.mark.slow
def test_logits_alone_are_compared_too(tiny: Checkpoint) -> None:
    (row,) = run.run_parity(tiny, PICTURES[:1], [RUNTIMES["torch"]], depth="logits").rows
    assert row.record is not None
    assert row.record.repeats == "equal"

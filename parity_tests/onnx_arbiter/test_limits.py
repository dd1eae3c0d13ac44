"""Every limit has a reason."""

from __future__ import annotations

from onnx_arbiter import limits
from onnx_arbiter.limits import Limits, Tolerance
from parity_tests.support import tolerances


def test_every_tolerance_has_a_reason() -> None:
    entries = [value for value in vars(tolerances).values() if isinstance(value, Tolerance)]
    for value in vars(limits).values():
        if isinstance(value, Limits):
            entries += [value.ratio, value.deviations]
    assert len(entries) >= 12
    assert all(len(entry.reason) > 40 for entry in entries)

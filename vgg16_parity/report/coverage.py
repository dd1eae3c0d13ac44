"""Which share of the weights the inputs exercise, in words."""

from __future__ import annotations

import math

from vgg16_parity.network.coverage import ENOUGH, Coverage
from vgg16_parity.records import Report


def least(report: Report) -> Coverage | None:
    """The smallest coverage of the rows; None if none has one."""
    found = [row.coverage for row in report.rows if row.coverage is not None]
    return min(found, key=lambda coverage: coverage.share, default=None)


def alike(report: Report) -> list[tuple[list[str], Coverage]]:
    """Each coverage, and the names of the rows that have it."""
    found: list[tuple[list[str], Coverage]] = []
    for row in report.rows:
        if row.coverage is None:
            continue
        for names, coverage in found:
            if coverage == row.coverage:
                names.append(row.name)
                break
        else:
            found.append(([row.name], row.coverage))
    return found


def exercised(coverage: Coverage) -> str:
    """``61 % of the weights (fc1 39 %, fc2 31 %)``: every tensor under ``ENOUGH`` is named."""
    named = ", ".join(f"{name} {percent(share)}" for name, share in lacking(coverage).items())
    return f"{percent(coverage.share)} of the weights{named and f' ({named})'}"


def lacking(coverage: Coverage) -> dict[str, float]:
    """The tensors under ``ENOUGH``, the least exercised first.

    A layer's weight goes by the layer's name; its bias counts where its weight does not lack.
    """
    short = {name: share for name, share in coverage.tensors.items() if share < ENOUGH}
    found: dict[str, float] = {}
    for name, share in short.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight":
            found[layer] = share
        elif f"{layer}.weight" not in short:
            found[name] = share
    return dict(sorted(found.items(), key=lambda each: each[1]))


def percent(share: float) -> str:
    """Rounded down, so that all but one weight is not 100 %; in tenths from 99 % on."""
    digits = 1 if share >= ENOUGH else 0
    # Not 0.29 * 100 = 28.999…
    return f"{math.floor(round(share * 100 * 10**digits, 6)) / 10**digits:g} %"

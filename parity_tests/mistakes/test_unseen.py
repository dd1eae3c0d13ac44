"""Mistakes that photographs cannot show are found by probes, and only by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from mistakes.in_torch import Port
from mistakes.unseen import LAYERS, MISTAKES, UNIT, dark, planted, with_dark_units
from parity_tests.support.helpers import PICTURES
from vgg16_parity import inputs
from vgg16_parity.own_port import Arbiter, explain
from vgg16_spec.checkpoint import Checkpoint


class Bench(NamedTuple):
    """A network, its arbiter and a port of it."""

    checkpoint: Checkpoint
    arbiter: Arbiter
    port: Port


@pytest.fixture(scope="module")
def bench(tiny: Checkpoint) -> Iterator[Bench]:
    darkened = with_dark_units(tiny, inputs.pictures(tiny, PICTURES).images)
    with Arbiter(darkened, PICTURES) as arbiter:
        yield Bench(darkened, arbiter, Port("tiny"))


def test_the_units_are_dark_on_the_photographs_and_lit_by_the_probes(bench: Bench) -> None:
    given, arbiter = bench.arbiter.given, bench.arbiter
    assert all(dark(given[layer])[UNIT] for layer in LAYERS)
    bench.port.load(bench.checkpoint)
    first, *others = arbiter.probes.values()
    outputs = bench.port.layers(first, dict(zip(given, others, strict=True)))
    assert not any(dark(outputs[layer]).any() for layer in LAYERS)
    row = arbiter.judge("right", bench.port.taps(arbiter.images), probes=outputs)
    assert row.status == "holds", explain(row)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_probes_show_a_mistake_that_photographs_do_not(
    bench: Bench, mistake: str, layer: str
) -> None:
    arbiter, port = bench.arbiter, bench.port
    changed, named = planted(bench.checkpoint, mistake, layer)
    port.load(changed)
    given = arbiter.given
    taps, layers = port.taps(arbiter.images), port.layers(arbiter.images, given)
    assert arbiter.judge("photographs alone", taps, layers=layers).status == "holds"
    first, *others = arbiter.probes.values()
    outputs = port.layers(first, dict(zip(given, others, strict=True)))
    row = arbiter.judge("probes", taps, layers=layers, probes=outputs)
    assert (row.status, row.first_wrong) == ("broken", named)
    assert row.reason.startswith(f"{named}, given a dense input: ")
    assert [probe.layer for probe in row.probes if not probe.local.passed] == [named]


@pytest.mark.full
@pytest.mark.weekly
def test_what_no_photograph_lights_of_vgg16_is_judged(full: Checkpoint) -> None:
    with Arbiter(full, PICTURES) as arbiter:
        given = arbiter.given
        changed = {}
        for layer in ("fc1", "fc2"):
            unseen = dark(given[layer])
            for kind in ("weight", "bias"):
                values = np.array(full[f"{layer}.{kind}"])
                values[unseen] = 0
                changed[f"{layer}.{kind}"] = values
        rows = sum(int((changed[f"{layer}.bias"] == 0).sum()) for layer in ("fc1", "fc2"))
        assert rows > 3000
        port = Port("D")
        port.load(full.with_tensors(changed))
        del changed
        taps, layers = port.taps(arbiter.images), port.layers(arbiter.images, given)
        assert arbiter.judge("photographs alone", taps, layers=layers).status == "holds"
        first, *others = arbiter.probes.values()
        outputs = port.layers(first, dict(zip(given, others, strict=True)))
        row = arbiter.judge("probes", taps, layers=layers, probes=outputs)
        wrong = [probe.layer for probe in row.probes if not probe.local.passed]
        assert (row.status, row.first_wrong, wrong) == ("broken", "fc1", ["fc1", "fc2"])

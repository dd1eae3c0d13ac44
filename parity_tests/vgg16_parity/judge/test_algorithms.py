"""A network computed by Winograd's algorithm holds with a note; a wrong coefficient does not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pytest

from mistakes import catalogue
from mistakes.catalogue import MISTAKES, Mistake
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd
from onnx_arbiter.limits import Tolerance
from parity_tests.support.winograd import Float32, Matrices, matrices, network
from vgg16_parity.judge.algorithms import LOGITS_ALONE, periods, profile
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

RELATIVE = Tolerance(1e-3, "the smallest relative mistake in a coefficient that must be found")
LAVIN = next(each for each in WINOGRAD if each.name.endswith("F(6×6, points 0, ±1, ±2, ±1/2)"))


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    with Arbiter(tiny) as opened:
        yield opened


def judged(arbiter: Arbiter, factors: Matrices, *, layers: bool = True) -> Row:
    images, checkpoint = arbiter.images, arbiter.checkpoint
    alone = network(checkpoint, images, factors, arbiter.given) if layers else None
    return arbiter.judge("port", network(checkpoint, images, factors), layers=alone)


@pytest.mark.parametrize("size", [4, 6])
def test_a_period_is_found_where_there_is_one(size: int) -> None:
    generator = np.random.default_rng(2)
    errors = generator.standard_normal((2, 4, 31, 29))
    assert periods(errors) == []
    rows, columns = (np.where(np.arange(length) % size == 0, 2, 1) for length in (31, 29))
    periodic = errors * rows[:, np.newaxis] * columns
    assert size in periods(periodic)
    first, *others = profile(periodic, size, 2)
    assert first > 1.5 * max(others)


@pytest.mark.parametrize("algorithm", WINOGRAD, ids=lambda each: each.name)
@pytest.mark.parametrize("layers", [True, False])
@pytest.mark.slow
def test_winograd_holds(arbiter: Arbiter, algorithm: Winograd, layers: bool) -> None:
    row = judged(arbiter, matrices(algorithm), layers=layers)
    assert row.status == "holds", explain(row)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.slow
def test_one_wrong_coefficient_is_broken(arbiter: Arbiter, which: int) -> None:
    right = matrices(LAVIN)[which]
    places = list(zip(*np.nonzero(right), strict=True))
    # A few of each matrix, at either size of mistake: every one takes a forward pass and a verdict.
    for place, factor in zip(places[::9], cycle((1 + RELATIVE.limit, -1)), strict=False):
        factors = matrices(LAVIN)
        factors[which][place] *= np.float32(factor)
        assert judged(arbiter, factors, layers=False).status == "broken", (place, factor)


@pytest.mark.slow
def test_logits_alone_stay_broken_and_are_told_what_would_show_more(arbiter: Arbiter) -> None:
    taps = network(arbiter.checkpoint, arbiter.images, matrices(WINOGRAD[-1]))
    deviation = arbiter.judge("port", taps["predictions"])
    if deviation.status == "broken":
        assert LOGITS_ALONE in deviation.cases[0].notes


class Winograds:
    """A port that computes by Winograd's algorithm, to plant mistakes of weights and images in."""

    def load(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    def plant(self, name: str) -> None:
        """Mistakes in the computation are those of the frameworks' ports."""

    def taps(self, images: Float32) -> dict[str, Float32]:
        return network(self.checkpoint, images, matrices(LAVIN))

    def layers(self, images: Float32, given: dict[str, Float32]) -> dict[str, Float32]:
        return network(self.checkpoint, images, matrices(LAVIN), given)


@pytest.mark.parametrize(
    "mistake",
    [each for each in MISTAKES.values() if each.reweight or each.recipe],
    ids=lambda each: each.name,
)
@pytest.mark.slow
def test_a_mistake_under_winograd_is_broken(arbiter: Arbiter, mistake: Mistake) -> None:
    pictures = [photograph.path for photograph in PHOTOGRAPHS]
    assert catalogue.judged(arbiter, Winograds(), mistake, pictures).status == "broken"

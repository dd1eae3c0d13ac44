"""A row's coverage is that of the comparisons that it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onnx_arbiter.expectations import Case
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import Batch
from parity_tests.support.pages.reports import row, verdict
from vgg16_parity.judge.coverage import Coverages
from vgg16_parity.network.coverage import Coverage
from vgg16_parity.network.prediction import expect
from vgg16_parity.network.probes import expect_probes
from vgg16_parity.records import Row
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict, ProbeVerdict
from vgg16_spec.checkpoint import Checkpoint

FLOAT32 = MODES["float32"]


def compared(**cases: tuple[str, ...]) -> Row:
    """A row with comparisons at these taps of each case."""
    return row(
        cases=tuple(
            CaseVerdict(name, tuple(LayerVerdict(tap, verdict()) for tap in taps), ())
            for name, taps in cases.items()
        )
    )


def share(found: Row) -> float:
    assert isinstance(found.coverage, Coverage)
    return found.coverage.share


def test_a_row_has_the_coverage_of_its_cases_taps_and_probes(
    tiny: Checkpoint, batch: Batch, tmp_path: Path
) -> None:
    network, images = tiny.configuration, batch(tiny)
    coverages = Coverages(network)
    for name, each in (("one", images[:1]), ("other", images[1:])):
        case = Case(name, each, (name,))
        folder = tmp_path / name
        answers = expect(tiny, case, [FLOAT32], folder, exercised=coverages.case(name))
    nan = Case("NaN", np.full_like(images, np.nan), ("a", "b"))
    expect(tiny, nan, [FLOAT32], tmp_path / "NaN", exercised=coverages.case("NaN"))

    def of(**cases: tuple[str, ...]) -> float:
        return share(coverages.added_to(compared(**cases)))

    logits = of(one=("predictions",))
    taps = of(one=network.taps)
    assert logits < taps < of(one=network.taps, other=network.taps)
    assert of(one=network.taps, NaN=network.taps) == taps
    # Nothing was compared in a case that overflows, or at all.
    assert of(one=network.taps, other=()) == taps
    assert coverages.added_to(compared(other=())).coverage is None
    # Probes of a layer count for that layer alone.
    coverages.add_probes(expect_probes(tiny, answers, [FLOAT32], tmp_path / "probes"))
    assert of(one=network.taps) == taps
    one = compared(one=network.taps)
    plain, probed = (
        coverages.added_to(Row(**vars(one) | {"probes": probes})).coverage
        for probes in ((), (ProbeVerdict("fc1", verdict()),))
    )
    assert isinstance(plain, Coverage)
    assert isinstance(probed, Coverage)
    differing = {name for name, each in plain.tensors.items() if probed.tensors[name] != each}
    assert differing == {"fc1.weight", "fc1.bias"}
    assert probed.tensors["fc1.weight"] == 1

"""The arbiter's answers on the tiny network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onnx_arbiter.expectations import ArbiterCase, given
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.convolutions import Float32
from parity_tests.support.helpers import PICTURES
from vgg16_parity.inputs import pictures
from vgg16_parity.network.prediction import expect
from vgg16_parity.own_port import Arbiter
from vgg16_spec.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    with Arbiter(tiny) as opened:
        yield opened


@pytest.fixture(scope="module")
def expectation(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ArbiterCase:
    """The arbiter's answers for one photograph."""
    folder: Path = tmp_path_factory.mktemp("expectation") / "case"
    return expect(tiny, pictures(tiny, PICTURES[:1]), [MODES["float32"]], folder)


@pytest.fixture(scope="module")
def inputs(tiny: Checkpoint, expectation: ArbiterCase) -> dict[str, Float32]:
    return given(expectation.folder, tiny.configuration.taps[:-1])

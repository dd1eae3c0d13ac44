"""The network that these tests build models of."""

from __future__ import annotations

import pytest

from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate


@pytest.fixture(scope="package")
def ten() -> Checkpoint:
    return generate(configuration("tiny", classes=10), 3)

"""For pytest: judge what any program computed from an ONNX model in your own tests.

def test_my_port(onnx_arbiter):
    arbiter = onnx_arbiter("model.onnx")
    arbiter.assert_within_rounding(my_port(arbiter.inputs))

pytest imports this file wherever the project is installed, so it imports nothing but pytest until
a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from onnx_arbiter.arbiter import Arbiter
    from onnx_arbiter.graph import Array
    from onnx_arbiter.models.network import Model


class MakeArbiter(Protocol):
    """Makes arbiters that are closed at the end of the test."""

    def __call__(
        self, model: Model, inputs: Mapping[str, Array] | None = None, **options: Any
    ) -> Arbiter:
        """An arbiter of a model; inputs and options are those of `onnx_arbiter.arbiter.Arbiter`."""


@pytest.fixture
def onnx_arbiter() -> Iterator[MakeArbiter]:
    """Makes an arbiter of an ONNX model: ``onnx_arbiter(model, inputs=None, **options)``."""
    with ExitStack() as opened:

        def make(
            model: Model, inputs: Mapping[str, Array] | None = None, **options: Any
        ) -> Arbiter:
            __tracebackhide__ = True
            from onnx_arbiter.arbiter import Arbiter

            return opened.enter_context(Arbiter(model, inputs, **options))

        yield make

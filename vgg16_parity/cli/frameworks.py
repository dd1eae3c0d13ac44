"""Which framework a command uses in its own process: what is installed, and the set-up of Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

from vgg16_parity.runtimes.process import framework_environment
from vgg16_parity.runtimes.registry import BACKENDS, COMPUTING, Backend, Requirement
from vgg16_spec.errors import BadInput

_Name = TypeVar("_Name", bound=str)


def first_complete(option: str, requirements: Mapping[_Name, Requirement]) -> _Name:
    """The first name whose requirement is met. Raises ``BadInput`` with the first one's remedy."""
    reasons = {name: needed.missing() for name, needed in requirements.items()}
    for name, reason in reasons.items():
        if not reason:
            return name
    raise BadInput(option, next(iter(reasons.values())))


def first_keras(option: str, backends: Sequence[Backend] = BACKENDS) -> Backend:
    """The first of Keras's backends that is installed. Raises ``BadInput`` with the remedy."""
    return first_complete(option, {name: COMPUTING[f"keras on {name}"] for name in backends})


def use_keras(backend: Backend) -> None:
    """Have Keras run on ``backend``, on the CPU: call it before anything imports Keras.

    The command computes next to nothing itself, and would only hold a GPU that others could use.
    """
    os.environ |= framework_environment(backend)

"""Whether there is a GPU to test on."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import NoReturn

import pytest


@cache
def unusable() -> str:
    """Why no NVIDIA GPU can be used here; empty where one can."""
    if find_spec("torch") is None:
        return "PyTorch is not installed, which would find the GPU"
    import torch

    return "" if torch.cuda.is_available() else "PyTorch finds no usable NVIDIA GPU"


def reason_to_skip(*, asked: bool, unusable: Callable[[], str] = unusable) -> str:
    """Why a test on the GPU is not run; empty where it is."""
    return unusable() if asked else "needs --device cuda"


def required() -> bool:
    """Whether the environment says that there must be a GPU."""
    return os.environ.get("VGG16_REQUIRE_CUDA") == "1"


def skip(reason: str) -> NoReturn:
    """Skip a test for want of a GPU; where one is required, that is a failure."""
    if required():
        pytest.fail(f"VGG16_REQUIRE_CUDA=1, but {reason}")
    pytest.skip(reason)

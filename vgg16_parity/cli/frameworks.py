"""Which framework a command uses in its own process: what is installed, and the set-up of Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from vgg16_parity.runtimes.registry import RUNTIMES, missing
from vgg16_spec.errors import BadInput

# Runtime whose framework traces a graph -> its converter to ONNX, if the framework has none.
_CONVERTERS: Final = MappingProxyType(
    {
        "torch": (),
        "keras-tensorflow": ("tf2onnx",),
        "keras-jax": ("jax2onnx",),
        "keras-torch": (),
    }
)


def missing_to_trace(runtime: str) -> str:
    """What tracing an ONNX graph needs and does not find, with the remedy; empty if nothing."""
    needed = RUNTIMES[runtime]
    modules = (*needed.modules, *_CONVERTERS[runtime], "onnx", "onnx_ir", "onnxscript")
    return missing(modules, needed.extras)


def first_complete(option: str, missing_by_runtime: Mapping[str, str]) -> str:
    """The first runtime that misses nothing. Raises ``BadInput`` with the first one's remedy."""
    for runtime, reason in missing_by_runtime.items():
        if not reason:
            return runtime
    raise BadInput(option, next(iter(missing_by_runtime.values())))


def first_keras(option: str, backends: Sequence[str] = ("tensorflow", "jax", "torch")) -> str:
    """The first of Keras's backends that is installed. Raises ``BadInput`` with the remedy."""
    runtimes = [f"keras-{backend}" for backend in backends]
    found = first_complete(option, {name: RUNTIMES[name].missing() for name in runtimes})
    return RUNTIMES[found].backend


def use_keras(backend: str) -> None:
    """Have Keras run on ``backend``, on the CPU: call it before anything imports Keras.

    The command computes next to nothing itself, and would only hold a GPU that others could use.
    """
    os.environ |= {
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }

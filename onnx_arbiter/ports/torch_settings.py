"""PyTorch's settings, as its exporter can bear them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def readable_tf32() -> Iterator[None]:
    """Let PyTorch's exporter read, by the older interface, whether cuDNN may use TF32.

    PyTorch refuses that where the newer one, ``fp32_precision``, has changed it. What it is does
    not matter to the export, and is as before afterwards.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    backends = (cudnn.conv, cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    # One of them is what the older interface was last set to.
    for precision in ("tf32", "none"):
        if _is_readable(cudnn):
            break
        for backend in backends:
            backend.fp32_precision = precision
    try:
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            if backend.fp32_precision != precision:
                backend.fp32_precision = precision


def _is_readable(cudnn: Any) -> bool:
    try:
        return cudnn.allow_tf32 in (True, False)
    except RuntimeError:
        return False

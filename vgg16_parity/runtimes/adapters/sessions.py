"""ONNX Runtime sessions that hold every node on the requested device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from vgg16_parity.runtimes.requirements import pip_install
from vgg16_parity.runtimes.settings import CUDA_PROVIDER, Unavailable

# ONNX Runtime's message if a node needs the CPU, which is forbidden.
_FELL_BACK: Final = "fallback to CPU EP has been explicitly disabled"
_RECORD: Final = "session.record_ep_graph_assignment_info"
_FORBID: Final = "session.disable_cpu_ep_fallback"

Model = str | os.PathLike[str]


def open_session(
    onnxruntime: Any, path: Model, providers: Sequence[Any], *, deterministic: bool
) -> Any:
    """A session of a model's file.

    Args:
        onnxruntime: the module.
        path: the model.
        providers: as ``settings.onnx_providers`` lists them; if CUDA's is first, every node must be
            there.
        deterministic: whether its kernels must give the same bits twice.

    Raises:
        Unavailable: CUDA's provider cannot be used.
        RuntimeError: it can, and does not hold every node.
    """

    def session(*entries: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        options.use_deterministic_compute = deterministic
        for entry in entries:
            options.add_session_config_entry(entry, "1")
        # CUDA alone: without the Python layer's own second try on the CPU.
        alone = {"enable_fallback": 0} if entries else {}
        return onnxruntime.InferenceSession(path, options, providers=providers, **alone)

    first = providers[0]
    if (first[0] if isinstance(first, tuple) else first) != CUDA_PROVIDER:
        return session()
    offered = onnxruntime.get_available_providers()
    if CUDA_PROVIDER not in offered:
        raise Unavailable(
            f"this ONNX Runtime has no {CUDA_PROVIDER}, only {', '.join(offered)}: "
            f"pip uninstall onnxruntime, then {pip_install(['cuda'])}"
        )
    try:
        opened = session(_FORBID, _RECORD)
    except Exception as refusal:
        if _FELL_BACK not in str(refusal):
            raise
        # What needs the CPU: everything, or some nodes?
        allowed = session(_RECORD)
        _require_cuda(allowed)
        nodes = _elsewhere(allowed) or "some node"
        raise RuntimeError(f"ONNX Runtime has no CUDA kernel for {nodes}") from refusal
    _require_cuda(opened)
    if nodes := _elsewhere(opened):
        raise RuntimeError(f"ONNX Runtime put nodes on the CPU: {nodes}")
    return opened


def _require_cuda(session: Any) -> None:
    used = session.get_providers()
    if CUDA_PROVIDER not in used:
        # Its library, or one that this needs (CUDA, cuDNN), was not found or refused the GPU.
        raise Unavailable(
            f"ONNX Runtime could not load its {CUDA_PROVIDER} and offers {', '.join(used)}"
        )


def _elsewhere(session: Any) -> str:
    """Which nodes another provider holds; empty if none, or if ONNX Runtime is too old to list."""
    assigned = getattr(session, "get_provider_graph_assignment_info", list)
    found = [
        f"{node.name} ({node.op_type}, {part.ep_name})"
        for part in assigned()
        if part.ep_name != CUDA_PROVIDER
        for node in part.get_nodes()
    ]
    shown = ", ".join(found[:5])
    return f"{shown} and {len(found) - 5} more" if len(found) > 5 else shown


def cuda_libraries(onnxruntime: Any) -> None:
    """Load CUDA's and cuDNN's libraries from their packages, before a session is opened."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload()

"""ONNX Runtime's sessions: on the device that was asked for, and every node of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from vgg16_parity.runtimes.settings import CUDA_PROVIDER, Unavailable

# ONNX Runtime's own words where a node had no other place than the CPU, which was forbidden.
_FELL_BACK: Final = "fallback to CPU EP has been explicitly disabled"
_RECORD: Final = "session.record_ep_graph_assignment_info"
_FORBID: Final = "session.disable_cpu_ep_fallback"


def open_session(
    onnxruntime: Any, path: str | os.PathLike[str], providers: Sequence[Any], *, strict: bool
) -> Any:
    """A session of a model's file.

    Args:
        onnxruntime: the module.
        path: the model.
        providers: as ``numerics.onnx_providers`` has them; where the first is CUDA's, no node may
            be anywhere else.
        strict: whether its kernels have to give the same bits twice.

    Raises ``Unavailable`` where CUDA's provider cannot be used, ``RuntimeError`` where it can and
    does not hold every node.
    """
    if _name(providers[0]) != CUDA_PROVIDER:
        return onnxruntime.InferenceSession(
            path, _options(onnxruntime, strict), providers=providers
        )
    offered = onnxruntime.get_available_providers()
    if CUDA_PROVIDER not in offered:
        raise Unavailable(
            f"this ONNX Runtime has no {CUDA_PROVIDER}, only {', '.join(offered)}: "
            'pip install -e ".[cuda]" in place of ".[onnx]"'
        )
    options = _options(onnxruntime, strict)
    options.add_session_config_entry(_FORBID, "1")
    options.add_session_config_entry(_RECORD, "1")
    try:
        # Without the Python layer's own second try on the CPU.
        session = onnxruntime.InferenceSession(
            path, options, providers=providers, enable_fallback=0
        )
    except Exception as refusal:
        if _FELL_BACK not in str(refusal):
            raise
        raise _why(onnxruntime, path, providers, strict) from refusal
    _require_cuda(session)
    if elsewhere := _elsewhere(session):
        raise RuntimeError(f"ONNX Runtime put nodes on the CPU: {elsewhere}")
    return session


def _why(
    onnxruntime: Any, path: str | os.PathLike[str], providers: Sequence[Any], strict: bool
) -> Exception:
    """What the CPU was needed for: for everything, or for some nodes."""
    options = _options(onnxruntime, strict)
    options.add_session_config_entry(_RECORD, "1")
    session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    try:
        _require_cuda(session)
    except Unavailable as unavailable:
        return unavailable
    return RuntimeError(f"ONNX Runtime has no CUDA kernel for {_elsewhere(session) or 'some node'}")


def _require_cuda(session: Any) -> None:
    used = session.get_providers()
    if CUDA_PROVIDER not in used:
        # Its library, or one that this needs (CUDA, cuDNN), was not found or refused the GPU.
        raise Unavailable(
            f"ONNX Runtime could not load its {CUDA_PROVIDER} and offers {', '.join(used)}"
        )


def _elsewhere(session: Any) -> str:
    """Which nodes another provider holds; empty where none has any.

    An ONNX Runtime too old to tell has refused such nodes all the same, without their names.
    """
    told = getattr(session, "get_provider_graph_assignment_info", list)
    found = [
        f"{node.name} ({node.op_type}, {part.ep_name})"
        for part in told()
        if part.ep_name != CUDA_PROVIDER
        for node in part.get_nodes()
    ]
    shown = ", ".join(found[:5])
    return f"{shown} and {len(found) - 5} more" if len(found) > 5 else shown


def _options(onnxruntime: Any, strict: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.use_deterministic_compute = strict
    return options


def _name(provider: Any) -> str:
    return str(provider[0] if isinstance(provider, tuple) else provider)


def cuda_libraries(onnxruntime: Any) -> None:
    """Load CUDA's and cuDNN's libraries where packages brought them, before a session is opened."""
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload()

"""Each framework's settings: variables read at import, and the switches of a lane."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import Any, Final

from onnx_arbiter.runtimes.cuda_libraries import CUDA_PROVIDER
from vgg16_parity.runtimes.lanes import Device, Lane

_OPENVINO_HINT: Final = "INFERENCE_PRECISION_HINT"


class Unavailable(Exception):
    """A device or a precision is not available here."""


def configure_torch(lane: Lane, device: Device) -> dict[str, str]:
    """Set up PyTorch and return its flags; on a GPU its own convolutions use TF32."""
    import torch

    # Not use_deterministic_algorithms: it sets the same switch, but imports PyTorch's compiler too,
    # which takes as long as importing PyTorch.
    torch.set_deterministic_debug_mode("error" if lane.deterministic else "default")
    flags: dict[str, Any] = {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled()
    }
    if device == "cpu":
        flags["mkldnn"] = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return _text(flags)
    _require_torch_gpu()
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if lane.tf32 is not None:
        precision = "tf32" if lane.tf32 else "ieee"
        # The newer of two interfaces: PyTorch refuses to read one that was set by the other.
        matmul.fp32_precision = precision
        cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
    if lane.deterministic:
        # Do not time algorithms to choose one: the fastest is not always the same.
        cudnn.benchmark = False
        cudnn.deterministic = True
    if lane.precision != "float32":
        # Sums are float32: cuBLAS may otherwise keep parts of them in fewer bits.
        matmul.allow_fp16_accumulation = False
        matmul.allow_fp16_reduced_precision_reduction = False
        matmul.allow_bf16_reduced_precision_reduction = False
    return _text(
        flags
        | {
            "matmul.fp32_precision": matmul.fp32_precision,
            "cudnn.conv.fp32_precision": cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
            "cudnn.benchmark": cudnn.benchmark,
            "cudnn.deterministic": cudnn.deterministic,
            "matmul.allow_fp16_accumulation": matmul.allow_fp16_accumulation,
        }
    )


def _require_torch_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        return
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call] # gives the reason; is_available() does not
    except Exception as refusal:
        raise _no_gpu("PyTorch", refusal) from refusal
    raise Unavailable("PyTorch finds no usable GPU")


def configure_tensorflow(lane: Lane, device: Device) -> dict[str, str]:
    """Set up TensorFlow and return its flags; on a GPU it uses TF32 by default."""
    import tensorflow as tf

    if device == "cuda" and not tf.config.list_physical_devices("GPU"):
        built = "" if tf.test.is_built_with_cuda() else ": it was built without CUDA"
        raise Unavailable(f"TensorFlow finds no usable GPU{built}")
    if lane.tf32 is not None:
        tf.config.experimental.enable_tensor_float_32_execution(lane.tf32)
    if lane.deterministic:
        tf.config.experimental.enable_op_determinism()
    return _text(
        {
            "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "op_determinism": lane.deterministic,
        }
    )


def configure_jax(lane: Lane, device: Device) -> dict[str, str]:
    """Set up JAX and return its flags; on a GPU it uses TF32 by default."""
    import jax

    if device == "cuda":
        try:
            jax.devices("gpu")
        except RuntimeError as refusal:
            raise _no_gpu("JAX", refusal) from refusal
        if jax.default_backend() != "gpu":
            raise Unavailable(f"JAX finds no usable GPU and takes {jax.default_backend()}")
    if lane.tf32 is not None:
        precision = "tensorfloat32" if lane.tf32 else "highest"
        jax.config.update("jax_default_matmul_precision", precision)
    flags = {"default_matmul_precision": jax.config.jax_default_matmul_precision}
    if device == "cuda":
        flags["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")
    return _text(flags)


def openvino_config(lane: Lane) -> tuple[dict[str, Any], dict[str, str]]:
    """OpenVINO's configuration for a lane, and its flags; by default it takes fewer bits if it can.

    Raises:
        Unavailable: the lane's precision is not one that this processor multiplies.
    """
    import openvino

    core, chosen = openvino.Core(), {}
    if lane.precision == "bfloat16":
        offered = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if "BF16" not in offered:
            raise Unavailable(f"OpenVINO has no bfloat16 here, only {', '.join(offered)}")
        chosen[_OPENVINO_HINT] = "bf16"
    elif lane.precision != "float32":
        raise Unavailable(f"OpenVINO is run in float32 and bfloat16, not in {lane.precision}")
    elif lane.deterministic:
        chosen[_OPENVINO_HINT] = "f32"
    core.set_property("CPU", chosen)
    name = core.get_property("CPU", _OPENVINO_HINT).get_type_name()
    return chosen, {"inference_precision": name}


def openvino_mode(flags: dict[str, str]) -> str:
    """The numeric mode by which OpenVINO's own precision is judged; empty for float32."""
    return {"bf16": "bfloat16", "f16": "float16"}.get(flags.get("inference_precision", ""), "")


def configure_keras_openvino(lane: Lane, device: Device) -> dict[str, str]:
    """Set up Keras's OpenVINO backend and return its flags."""
    del device
    import openvino

    if lane.precision != "float32":
        raise Unavailable(f"Keras on OpenVINO is run in float32, not in {lane.precision}")
    config, flags = openvino_config(lane)
    # Keras compiles its models without a configuration and has no switch for one.
    openvino.compile_model = partial(openvino.compile_model, config=config)
    return flags


def keras_device(value: Any, device: Device) -> str:
    """Where a Keras variable's value lies, as its backend names it; ``cpu`` if asked for that.

    Raises:
        Unavailable: a GPU was asked for and the value lies elsewhere.
    """
    if device == "cpu":
        return device
    # JAX's arrays may lie on several devices, the other backends' on one.
    places = value.devices() if callable(getattr(value, "devices", None)) else {value.device}
    place = ", ".join(sorted(map(str, places)))
    if not any(word in place.lower() for word in ("cuda", "gpu")):
        raise Unavailable(f"Keras finds no usable GPU and holds the weights on {place}")
    return place


def onnx_providers(lane: Lane, device: Device) -> tuple[list[Any], dict[str, str]]:
    """ONNX Runtime's execution providers and flags; on a GPU it uses TF32 by default.

    On a GPU the CPU's provider is left out: a node without a CUDA kernel is an error.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"], {}
    options = {}
    if lane.tf32 is not None:
        options["use_tf32"] = str(int(lane.tf32))
    if lane.deterministic:
        # Convolutions chosen by cuDNN's own rules, not by timing them.
        options["cudnn_conv_algo_search"] = "HEURISTIC"
    names = ("use_tf32", "cudnn_conv_algo_search")
    flags = {name: options.get(name, "as it comes") for name in names}
    return [(CUDA_PROVIDER, options)], flags


def _no_gpu(framework: str, refusal: Exception) -> Unavailable:
    """With the refusal's first sentence as a reason of one line."""
    line = " ".join(str(refusal).split())
    reason = re.split(r"(?<=[a-z0-9)])[.;] ", line, maxsplit=1)[0].rstrip(".")
    return Unavailable(f"{framework} finds no usable GPU: {reason}")


def _text(flags: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in flags.items()}

"""What each framework's switches are set to in a lane, inside a worker's process.

Each function sets its framework up and tells the flags that it then finds, as text.
"""

from __future__ import annotations

from typing import Any

from parity.lanes import Device, Lane


class Unavailable(Exception):
    """A device, or a precision, that was asked for is not there."""


def set_torch(lane: Lane, device: Device) -> dict[str, str]:
    """PyTorch: TF32 is its default for convolutions on a GPU."""
    import torch

    if device == "cuda":
        if not torch.cuda.is_available():
            raise Unavailable("PyTorch finds no usable GPU")
        if lane.name in ("strict", "tf32"):
            torch.backends.cuda.matmul.allow_tf32 = lane.name == "tf32"
            torch.backends.cudnn.allow_tf32 = lane.name == "tf32"
        if lane.precision != "float32":
            # Sums are float32: cuBLAS may otherwise keep parts of them in fewer bits.
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if lane.name == "strict":
        torch.use_deterministic_algorithms(True)
    flags = {"deterministic_algorithms": torch.are_deterministic_algorithms_enabled()}
    if device == "cuda":
        flags["matmul.allow_tf32"] = torch.backends.cuda.matmul.allow_tf32
        flags["cudnn.allow_tf32"] = torch.backends.cudnn.allow_tf32
        flags["cudnn.benchmark"] = torch.backends.cudnn.benchmark
    else:
        flags["mkldnn"] = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return _text(flags)


def set_tensorflow(lane: Lane, device: Device) -> dict[str, str]:
    """TensorFlow: TF32 is its default on a GPU."""
    import tensorflow as tf

    if device == "cuda" and not tf.config.list_physical_devices("GPU"):
        raise Unavailable("TensorFlow finds no usable GPU")
    if lane.name in ("strict", "tf32"):
        tf.config.experimental.enable_tensor_float_32_execution(lane.name == "tf32")
    if lane.name == "strict":
        tf.config.experimental.enable_op_determinism()
    return _text(
        {
            "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "op_determinism": lane.name == "strict",
        }
    )


def set_jax(lane: Lane, device: Device) -> dict[str, str]:
    """JAX: its default precision on a GPU is TF32."""
    import jax

    if device == "cuda" and jax.default_backend() != "gpu":
        raise Unavailable("JAX finds no usable GPU")
    precisions = {"strict": "highest", "tf32": "tensorfloat32"}
    if lane.name in precisions:
        jax.config.update("jax_default_matmul_precision", precisions[lane.name])
    return _text({"default_matmul_precision": jax.config.jax_default_matmul_precision})


def onnx_providers(lane: Lane, device: Device) -> tuple[list[Any], dict[str, str]]:
    """ONNX Runtime: its execution providers; TF32 is its default on a GPU."""
    if device == "cpu":
        return ["CPUExecutionProvider"], {}
    options = {"use_tf32": "0"} if lane.name == "strict" else {}
    if lane.name == "tf32":
        options = {"use_tf32": "1"}
    flags = {"use_tf32": options.get("use_tf32", "as it comes")}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"], flags


def _text(flags: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in flags.items()}

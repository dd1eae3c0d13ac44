"""What each framework's switches are set to in a lane, inside a worker's process.

Each function sets its framework up and tells the flags that it then finds, as text.
"""

from __future__ import annotations

from typing import Any, Final

from vgg16_parity.runtimes.devices import first_sentence
from vgg16_parity.runtimes.lanes import Device, Lane

CUDA_PROVIDER: Final = "CUDAExecutionProvider"
_FP32_PRECISION: Final = {"strict": "ieee", "tf32": "tf32"}


class Unavailable(Exception):
    """A device, or a precision, that was asked for is not there."""


def configure_torch(lane: Lane, device: Device) -> dict[str, str]:
    """PyTorch: on a GPU, TF32 is its default for convolutions and IEEE for matrix products."""
    import torch

    flags: dict[str, Any] = {}
    if device == "cuda":
        _require_torch_gpu()
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        if precision := _FP32_PRECISION.get(lane.name):
            # The newer of two interfaces: PyTorch refuses to read one that was set by the other.
            matmul.fp32_precision = precision
            cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
        if lane.name == "strict":
            # Without timing the algorithms first: which is the fastest is not always the same.
            cudnn.benchmark = False
            cudnn.deterministic = True
        if lane.precision != "float32":
            # Sums are float32: cuBLAS may otherwise keep parts of them in fewer bits.
            matmul.allow_fp16_accumulation = False
            matmul.allow_fp16_reduced_precision_reduction = False
            matmul.allow_bf16_reduced_precision_reduction = False
        flags |= {
            "matmul.fp32_precision": matmul.fp32_precision,
            "cudnn.conv.fp32_precision": cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
            "cudnn.benchmark": cudnn.benchmark,
            "cudnn.deterministic": cudnn.deterministic,
            "matmul.allow_fp16_accumulation": matmul.allow_fp16_accumulation,
        }
    if lane.name == "strict":
        torch.use_deterministic_algorithms(True)
    flags = {"deterministic_algorithms": torch.are_deterministic_algorithms_enabled()} | flags
    if device == "cpu":
        flags["mkldnn"] = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return _text(flags)


def _require_torch_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        return
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call] # says what is wrong, which is_available() does not
    except Exception as refusal:
        raise Unavailable(
            f"PyTorch finds no usable GPU: {first_sentence(str(refusal))}"
        ) from refusal
    raise Unavailable("PyTorch finds no usable GPU")


def configure_tensorflow(lane: Lane, device: Device) -> dict[str, str]:
    """TensorFlow: TF32 is its default on a GPU, in convolutions and in matrix products."""
    import tensorflow as tf

    if device == "cuda" and not tf.config.list_physical_devices("GPU"):
        built = "" if tf.test.is_built_with_cuda() else ": it was built without CUDA"
        raise Unavailable(f"TensorFlow finds no usable GPU{built}")
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


def configure_jax(lane: Lane, device: Device) -> dict[str, str]:
    """JAX: its default precision on a GPU is TF32, in convolutions and in matrix products."""
    import os

    import jax

    if device == "cuda":
        try:
            jax.devices("gpu")
        except RuntimeError as refusal:
            raise Unavailable(
                f"JAX finds no usable GPU: {first_sentence(str(refusal))}"
            ) from refusal
        if jax.default_backend() != "gpu":
            raise Unavailable(f"JAX finds no usable GPU and takes {jax.default_backend()}")
    precisions = {"strict": "highest", "tf32": "tensorfloat32"}
    if lane.name in precisions:
        jax.config.update("jax_default_matmul_precision", precisions[lane.name])
    flags = {"default_matmul_precision": jax.config.jax_default_matmul_precision}
    if device == "cuda":
        flags["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")
    return _text(flags)


def keras_device(value: Any, device: Device) -> str:
    """Where a Keras variable's value lies, as its backend says; ``cpu`` where that was asked for.

    Raises ``Unavailable`` where a GPU was asked for and the value lies elsewhere.
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
    """ONNX Runtime: its execution providers; TF32 is its default on a GPU.

    On a GPU the CPU's is not among them: what the GPU's has no kernel for is an error.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"], {}
    options = {}
    if lane.name == "strict":
        # Convolutions chosen by cuDNN's own rules, not by timing them.
        options = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if lane.name == "tf32":
        options = {"use_tf32": "1"}
    names = ("use_tf32", "cudnn_conv_algo_search")
    flags = {name: options.get(name, "as it comes") for name in names}
    return [(CUDA_PROVIDER, options)], flags


def _text(flags: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in flags.items()}

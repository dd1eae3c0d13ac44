"""Whether a port may have computed in TF32, as frameworks do on an NVIDIA GPU by default."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

from onnx_arbiter.ports import keras_layers, torch_modules

# The precisions by which JAX computes in float32.
_JAX_FLOAT32: Final = ("highest", "float32", "F32_F32_F32")


def switch(port: Any) -> str:
    """The setting that would keep a port's framework in float32; empty if it is there.

    Args:
        port: a PyTorch module or a Keras model; what a function does cannot be known.
    """
    # On its backend PyTorch, a Keras model is a PyTorch module, too.
    if keras_layers.is_model(port):
        import keras

        backend = keras.backend.backend()
        if backend in ("jax", "tensorflow"):
            values = [variable.value for variable in port.weights]
            return _of_jax(values) if backend == "jax" else _of_tensorflow(values)
    return _of_torch(port) if torch_modules.is_module(port) else ""


def _of_torch(port: Any) -> str:
    import torch

    if not any(values.is_cuda for values in chain(port.parameters(), port.buffers())):
        return ""
    # The newer of two interfaces, which can be read whichever of them was used. It says what holds
    # if nothing is set for the operation itself.
    backends: dict[str, Any] = {
        "cudnn.conv": torch.backends.cudnn.conv,  # type: ignore[attr-defined]
        "cuda.matmul": torch.backends.cuda.matmul,
    }
    if any(isinstance(module, torch.nn.RNNBase) for module in port.modules()):
        backends["cudnn.rnn"] = torch.backends.cudnn.rnn
    allowed = [name for name, backend in backends.items() if backend.fp32_precision == "tf32"]
    return ", ".join(f'torch.backends.{name}.fp32_precision = "ieee"' for name in allowed)


def _of_jax(values: list[Any]) -> str:
    import jax

    if not any(device.platform == "gpu" for value in values for device in value.devices()):
        return ""
    if jax.config.jax_default_matmul_precision in _JAX_FLOAT32:
        return ""
    return 'jax.config.update("jax_default_matmul_precision", "highest")'


def _of_tensorflow(values: list[Any]) -> str:
    import tensorflow as tf

    if not any("GPU" in value.device for value in values):
        return ""
    if not tf.config.experimental.tensor_float_32_execution_enabled():
        return ""
    return "tf.config.experimental.enable_tensor_float_32_execution(False)"

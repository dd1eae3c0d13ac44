"""One forward pass of a runtime, from images on its device to finished logits on its device.

Moving images to the device and logits back is not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgg16_parity.runtimes.lanes import Device
from vgg16_parity.runtimes.registry import Runtime
from vgg16_spec import layouts

Step = Callable[[], object]


def step(runtime: Runtime, network: Any, device: Device, images: NDArray[np.float32]) -> Step:
    """A function that runs the network once and returns when the logits are there.

    Args:
        runtime: one of the registry's.
        network: the ``network`` of its evaluator.
        device: where it runs.
        images: (N, 3, H, W), preprocessed; moved to the device here.
    """
    if runtime.onnx:
        return _onnx(network, device, images)
    if runtime.framework == "torch":
        return _torch(network, images)
    assert runtime.backend is not None
    return _KERAS[runtime.backend](network, _nhwc(network, images))


def _torch(model: Any, images: NDArray[np.float32]) -> Step:
    import torch

    parameter = next(model.parameters())
    batch = torch.tensor(images, dtype=parameter.dtype, device=parameter.device)
    return _waited(lambda: model(batch), cuda=batch.is_cuda)


def _waited(forward: Step, *, cuda: bool) -> Step:
    import torch

    def run() -> None:
        with torch.inference_mode():
            forward()
        if cuda:
            torch.cuda.synchronize()

    return run


def _nhwc(model: Any, images: NDArray[np.float32]) -> Any:
    import keras

    values = layouts.contiguous(layouts.nchw_to_nhwc(images))
    return keras.ops.convert_to_tensor(values, dtype=model.compute_dtype)


def _keras_torch(model: Any, batch: Any) -> Step:
    return _waited(lambda: model(batch, training=False), cuda=batch.is_cuda)


def _keras_jax(model: Any, batch: Any) -> Step:
    import jax

    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    forward = jax.jit(lambda *values: model.stateless_call(*values, training=False)[0])
    return lambda: forward(trained, others, batch).block_until_ready()


def _keras_tensorflow(model: Any, batch: Any) -> Step:
    import tensorflow as tf

    # Compiled by XLA, as Keras's predict compiles it.
    forward = tf.function(lambda values: model(values, training=False), jit_compile=True)
    # Converting the logits to NumPy waits for them.
    return lambda: forward(batch).numpy()


_KERAS: dict[str, Callable[[Any, Any], Step]] = {
    "torch": _keras_torch,
    "jax": _keras_jax,
    "tensorflow": _keras_tensorflow,
}


def _onnx(session: Any, device: Device, images: NDArray[np.float32]) -> Step:
    import onnxruntime

    (feed,) = session.get_inputs()
    values = images.astype(np.float16 if "float16" in feed.type else np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input(
        feed.name, onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0)
    )
    for output in session.get_outputs():
        binding.bind_output(output.name, device)

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run

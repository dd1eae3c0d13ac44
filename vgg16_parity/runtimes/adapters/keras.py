"""The network in Keras, on the backend that the worker's environment names."""

from __future__ import annotations

import keras
import numpy as np

import keras_impl
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.framework import FrameworkModel, Values, cores
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec import layouts
from vgg16_spec.checkpoint import open_checkpoint


def load_keras(job: Job) -> FrameworkModel:
    """``keras_impl.functional`` with the job's weights."""
    lane = LANES[job.lane]
    configure = {
        "tensorflow": settings.configure_tensorflow,
        "jax": settings.configure_jax,
        "torch": settings.configure_torch,
        "openvino": settings.configure_keras_openvino,
    }
    flags = configure[keras.backend.backend()](lane, job.device)
    # Whatever the user's Keras configuration says: the checkpoint is float32.
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(lane.precision)
    checkpoint = open_checkpoint(job.checkpoint, check_values=False)
    model = keras_impl.functional(
        checkpoint.configuration.name,
        classes=checkpoint.configuration.classes,
        classifier_activation=None,
        kernel_initializer="zeros",
    )
    keras_impl.load_checkpoint(model, checkpoint)

    def logits(images: Values) -> Values:
        batch = layouts.contiguous(layouts.nchw_to_nhwc(images))
        return np.asarray(model.predict_on_batch(batch)).astype(np.float32)

    device = settings.keras_device(model.weights[0].value, job.device)
    mode = settings.openvino_mode(flags)
    return FrameworkModel(keras_impl, model, logits, device, cores(), flags, mode)

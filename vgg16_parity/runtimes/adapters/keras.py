"""The network in Keras, on the backend that the worker's environment names."""

from __future__ import annotations

import numpy as np

from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.framework import FrameworkModel, Values, cores
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import GradientJob, RunJob
from vgg16_parity.runtimes.stopwatch import Stopwatch
from vgg16_spec import layouts
from vgg16_spec.checkpoint import open_checkpoint


class KerasModel(FrameworkModel):
    """``keras_impl.functional`` with the job's weights."""

    def __init__(self, job: RunJob | GradientJob, stopwatch: Stopwatch) -> None:
        lane = LANES[job.lane]
        with stopwatch.stage("import"):
            import keras

            import keras_impl
        configure = {
            "tensorflow": settings.configure_tensorflow,
            "jax": settings.configure_jax,
            "torch": settings.configure_torch,
        }
        self.flags = configure[keras.backend.backend()](lane, job.device)
        # Whatever the user's Keras configuration says: the checkpoint is float32.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(lane.precision)
        with stopwatch.stage("load"):
            checkpoint = open_checkpoint(job.checkpoint, check_values=False)
            model = keras_impl.functional(
                checkpoint.configuration.name,
                classes=checkpoint.configuration.classes,
                classifier_activation=None,
                kernel_initializer="zeros",
            )
            keras_impl.load_checkpoint(model, checkpoint)
        device = settings.keras_device(model.weights[0].value, job.device)
        super().__init__(keras_impl, model, device)
        self.threads = cores()

    def logits(self, images: Values) -> Values:
        """As `Evaluator`."""
        batch = layouts.contiguous(layouts.nchw_to_nhwc(images))
        return np.asarray(self.network.predict_on_batch(batch)).astype(np.float32)

"""The network in each framework, ready to run in a worker's process.

An adapter sets its framework up for the job's lane, loads the weights, and then computes logits,
taps and layers. Everything in and out is NumPy, maps as (N, C, H, W).
"""

from __future__ import annotations

from vgg16_parity.runtimes.adapters.framework import Evaluator, FrameworkModel
from vgg16_parity.runtimes.process import GradientJob, RunJob
from vgg16_parity.runtimes.stopwatch import Stopwatch

__all__ = ["Evaluator", "FrameworkModel", "evaluator", "framework_model"]


def evaluator(job: RunJob, stopwatch: Stopwatch) -> Evaluator:
    """The job's runtime, loaded.

    Raises:
        Unavailable: its device or its precision is not available here.
        Exception: whatever the framework raises.
    """
    if job.runtime.port:
        from vgg16_parity.runtimes.adapters.own_port import OwnPort

        return OwnPort(job, stopwatch)
    if job.runtime.onnx:
        from vgg16_parity.runtimes.adapters.onnx import OnnxGraph

        return OnnxGraph(job, stopwatch)
    return framework_model(job, stopwatch)


def framework_model(job: RunJob | GradientJob, stopwatch: Stopwatch) -> FrameworkModel:
    """The job's framework, loaded, which also computes gradients; raises as `evaluator`."""
    if job.runtime.framework == "torch":
        from vgg16_parity.runtimes.adapters.torch import TorchModel

        return TorchModel(job, stopwatch)
    from vgg16_parity.runtimes.adapters.keras import KerasModel

    return KerasModel(job, stopwatch)

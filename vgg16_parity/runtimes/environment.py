"""The variables that the frameworks read when they are imported."""

from __future__ import annotations

from vgg16_parity.runtimes.lanes import Device
from vgg16_parity.runtimes.requirements import Backend


def environment(backend: Backend | None, device: Device = "cpu") -> dict[str, str]:
    """The variables to set before any framework is imported.

    Args:
        backend: Keras's; None leaves the user's choice.
        device: on ``cpu`` a GPU is hidden, since frameworks reserve one that they find.
    """
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend is not None:
        variables["KERAS_BACKEND"] = backend
    if device == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return variables

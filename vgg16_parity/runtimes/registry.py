"""The runtimes that are compared: the ways of computing the network."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from vgg16_parity.runtimes.lanes import Device
from vgg16_parity.runtimes.requirements import (
    COMPUTING,
    EXPORTING,
    ONNX_RUNTIME,
    Backend,
    Requirement,
    keras_backend,
)
from vgg16_spec.errors import BadInput, require_file, require_one_of

# Not imported from `export`: a user's own folder may have that name.
Framework = Literal["keras", "torch"]


@dataclass(frozen=True)
class Runtime:
    """One way of computing the network.

    Attributes:
        name: its name on the command line and in reports.
        framework: the implementation that computes it, or that exports the graph.
        backend: Keras's backend; None without Keras, or to export through any installed one.
        onnx: whether ONNX Runtime runs an exported graph.
        port: a user's own function that computes it instead, as FILE.py:FUNCTION.
    """

    name: str
    framework: Framework
    backend: Backend | None = None
    onnx: bool = False
    port: str = ""

    @property
    def keras_backend(self) -> Backend | None:
        """The Keras backend that is used here; None without Keras."""
        if self.framework == "torch":
            return None
        return self.backend or keras_backend(EXPORTING)

    @property
    def computed_by(self) -> str:
        """The framework's entry in the table of requirements: ``torch``, ``keras on jax``.

        For a user's own port, its name: what it computes with is not known.
        """
        if self.port:
            return self.name
        backend = self.keras_backend
        return self.framework if backend is None else f"{self.framework} on {backend}"

    @property
    def requirement(self) -> Requirement:
        """What it needs."""
        if self.port:
            return Requirement()
        if self.onnx:
            return EXPORTING[self.computed_by] | ONNX_RUNTIME
        return COMPUTING[self.computed_by]

    def missing(self, device: Device = "cpu") -> str:
        """Why it cannot run here, and the command that helps; empty if it can."""
        return self.requirement.missing(device)


RUNTIMES: Final = MappingProxyType(
    {
        runtime.name: runtime
        for runtime in (
            Runtime("torch", "torch"),
            Runtime("keras-tensorflow", "keras", "tensorflow"),
            Runtime("keras-jax", "keras", "jax"),
            Runtime("keras-torch", "keras", "torch"),
            Runtime("onnx-from-keras", "keras", onnx=True),
            Runtime("onnx-from-torch", "torch", onnx=True),
        )
    }
)


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises ``BadInput`` for an unknown name."""
    return RUNTIMES[require_one_of("runtime", name, tuple(RUNTIMES))]


def installed() -> list[Runtime]:
    """The runtimes that can run here."""
    return [candidate for candidate in RUNTIMES.values() if not candidate.missing()]


def own_port(reference: str) -> Runtime:
    """A user's own port as a runtime.

    Args:
        reference: ``FILE.py:FUNCTION``. The function takes preprocessed images, (N, 3, H, W)
            float32, and the path of the canonical checkpoint. It returns logits (N, classes), or a
            dictionary of taps with the logits as ``predictions``; maps are (N, C, H, W).

    Raises:
        BadInput: the reference has another form, or there is no such file.
    """
    file, separator, function = reference.rpartition(":")
    if not (separator and file.endswith(".py") and function.isidentifier()):
        raise BadInput("--port", f"{reference!r} is no function in a file", "FILE.py:FUNCTION")
    path = require_file(file, "a Python file").resolve()
    return Runtime(f"{path.stem}:{function}", "torch", port=f"{path}:{function}")

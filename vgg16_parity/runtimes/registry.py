"""The runtimes: the ways of computing the network that are compared, and what each needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final, Literal

from vgg16_parity.runtimes.lanes import Device
from vgg16_spec.errors import BadInput, require_file

# Not imported from `export`: a user's own folder may have that name.
Framework = Literal["keras", "torch"]

# The two builds of ONNX Runtime exclude each other; JAX for CUDA comes beside what Keras needs.
_ON_CUDA: Final = {"onnx": "cuda", "jax": "jax,cuda"}


@dataclass(frozen=True)
class Runtime:
    """One way of computing the network.

    Attributes:
        name: what it is called on the command line and in reports.
        framework: which implementation computes it, or exports the graph that does.
        backend: Keras's backend where Keras takes part; empty elsewhere.
        onnx: whether an exported graph is run, by ONNX Runtime.
        modules: the Python modules that it needs.
        extras: what of this project to install to have them.
        port: the function of somebody's own that computes it instead, as FILE.py:FUNCTION.
    """

    name: str
    framework: Framework
    backend: str
    onnx: bool
    modules: tuple[str, ...]
    extras: str
    port: str = ""

    def missing(self, device: Device = "cpu") -> str:
        """Why the runtime cannot run here, with the remedy; empty where it can."""
        extras = self.extras.split(",")
        if device == "cuda":
            extras = [_ON_CUDA.get(extra, extra) for extra in extras]
        return missing(self.modules, ",".join(extras))


def missing(modules: Sequence[str], extras: str) -> str:
    """Which modules are not installed, with the remedy; empty where all are."""
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return ""
    verb = "is" if len(absent) == 1 else "are"
    return f'{" and ".join(absent)} {verb} not installed: pip install -e ".[{extras}]"'


RUNTIMES: Final = MappingProxyType(
    {
        runtime.name: runtime
        for runtime in (
            Runtime("torch", "torch", "", False, ("torch",), "torch"),
            Runtime(
                "keras-tensorflow", "keras", "tensorflow", False, ("keras", "tensorflow"), "keras"
            ),
            Runtime("keras-jax", "keras", "jax", False, ("keras", "jax"), "jax"),
            Runtime("keras-torch", "keras", "torch", False, ("keras", "torch"), "keras,torch"),
            Runtime(
                "onnx-from-keras",
                "keras",
                "tensorflow",
                True,
                ("keras", "tensorflow", "tf2onnx", "onnx", "onnx_ir", "onnxscript", "onnxruntime"),
                "keras,onnx",
            ),
            Runtime(
                "onnx-from-torch",
                "torch",
                "",
                True,
                ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime"),
                "torch,onnx",
            ),
        )
    }
)


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises ``BadInput`` for another name."""
    if name not in RUNTIMES:
        raise BadInput("runtime", f"{name!r} is unknown", f"one of {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def installed() -> list[Runtime]:
    """The runtimes that can run here."""
    return [candidate for candidate in RUNTIMES.values() if not candidate.missing()]


def own_port(reference: str) -> Runtime:
    """Somebody's own port as a runtime: ``FILE.py:FUNCTION``.

    The function is called with preprocessed images, (N, 3, H, W) float32, and the path of the
    canonical checkpoint. It returns logits (N, classes), or a dictionary of taps by name in which
    ``predictions`` are the logits; maps are (N, C, H, W).

    Raises ``BadInput`` for another form, or a file that is not there.
    """
    file, separator, function = reference.rpartition(":")
    if not (separator and file.endswith(".py") and function.isidentifier()):
        raise BadInput("--port", f"{reference!r} is no function in a file", "FILE.py:FUNCTION")
    path = require_file(file, "a Python file").resolve()
    return Runtime(f"{path.stem}:{function}", "torch", "", False, (), "", f"{path}:{function}")

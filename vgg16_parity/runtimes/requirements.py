"""What each way of running or exporting the network needs, and how to install it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final, Literal

from vgg16_parity.runtimes.lanes import Device

Backend = Literal["tensorflow", "jax", "torch"]

# In order of preference.
BACKENDS: Final[tuple[Backend, ...]] = ("tensorflow", "jax", "torch")

# On a GPU: ONNX Runtime's two builds exclude each other, and JAX needs its CUDA packages as well.
_CUDA_EXTRAS: Final = {"onnx": ("cuda",), "jax": ("jax", "cuda")}


@dataclass(frozen=True)
class Requirement:
    """Modules that must be importable, and this package's extras that install them."""

    modules: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    def __or__(self, other: Requirement) -> Requirement:
        return Requirement(
            tuple(dict.fromkeys(self.modules + other.modules)),
            tuple(dict.fromkeys(self.extras + other.extras)),
        )

    def missing(self, device: Device = "cpu") -> str:
        """Which modules are not installed, and the command that installs them; empty if all are."""
        absent = [module for module in self.modules if find_spec(module) is None]
        if not absent:
            return ""
        extras = self.extras
        if device == "cuda":
            extras = tuple(e for extra in extras for e in _CUDA_EXTRAS.get(extra, (extra,)))
        verb = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {verb} not installed: {pip_install(extras)}"


def pip_install(extras: Iterable[str]) -> str:
    """The command that adds extras to this package, installed from a wheel or from a clone."""
    return f'pip install "vgg16-parity[{",".join(extras)}]"'


_GRAPHS: Final = Requirement(("onnx", "onnx_ir", "onnxscript"))

# The one table: a framework -> what computing with it needs, and what exporting from it needs.
COMPUTING: Final = MappingProxyType(
    {
        "torch": Requirement(("torch",), ("torch",)),
        "keras on tensorflow": Requirement(("keras", "tensorflow"), ("keras",)),
        "keras on jax": Requirement(("keras", "jax"), ("jax",)),
        "keras on torch": Requirement(("keras", "torch"), ("keras", "torch")),
    }
)
EXPORTING: Final = MappingProxyType(
    {
        "torch": COMPUTING["torch"] | _GRAPHS,
        "keras on tensorflow": (
            COMPUTING["keras on tensorflow"] | Requirement(("tf2onnx",)) | _GRAPHS
        ),
        "keras on jax": COMPUTING["keras on jax"] | Requirement(("jax2onnx",)) | _GRAPHS,
        "keras on torch": COMPUTING["keras on torch"] | _GRAPHS,
    }
)
ONNX_RUNTIME: Final = Requirement(("onnxruntime",), ("onnx",))
CHECKING: Final = Requirement(("onnx", "onnx_ir", "onnxruntime"), ("torch", "onnx"))


def keras_backend(table: Mapping[str, Requirement]) -> Backend:
    """The first Keras backend whose requirements in a table are met; TensorFlow if none's are."""
    met = (backend for backend in BACKENDS if not table[f"keras on {backend}"].missing())
    return next(met, BACKENDS[0])

"""The runtimes that are compared: the ways of computing the network, and what each needs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.runtimes.lanes import Device
from vgg16_spec.errors import BadInput, require_file, require_one_of

# Not imported from `export`: a user's own folder may have that name.
Framework = Literal["keras", "torch"]
Backend = Literal["tensorflow", "jax", "torch", "openvino"]

# Those that can export, in order of preference.
BACKENDS: Final[tuple[Backend, ...]] = ("tensorflow", "jax", "torch")

# On a GPU: ONNX Runtime's two builds exclude each other, and JAX needs its CUDA packages as well.
_CUDA_EXTRAS: Final = {"onnx": ("cuda",), "jax": ("jax", "cuda")}


@dataclass(frozen=True)
class Requirement:
    """Modules that must be importable, and this package's extras that install them."""

    modules: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

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


def package_versions(modules: Iterable[str]) -> dict[str, str]:
    """Package -> version of the modules that are installed."""
    found = {}
    for module in modules:
        for name in DISTRIBUTIONS.get(module, (module.replace("_", "-"),)):
            with suppress(PackageNotFoundError):
                found[name] = version(name)
    return found


# The one table: a framework -> what it needs to compute, and to be exported.
COMPUTING: Final = {
    "torch": Requirement(("torch",), ("torch",)),
    "keras on tensorflow": Requirement(("keras", "tensorflow"), ("keras",)),
    "keras on jax": Requirement(("keras", "jax"), ("jax",)),
    "keras on torch": Requirement(("keras", "torch"), ("keras", "torch")),
    "keras on openvino": Requirement(("keras", "openvino"), ("keras", "engines")),
}
_EXPORTERS: Final = {"keras on tensorflow": ("tf2onnx",), "keras on jax": ("jax2onnx",)}
EXPORTING: Final = {
    name: Requirement(
        (*needed.modules, *_EXPORTERS.get(name, ()), "onnx", "onnx_ir", "onnxscript"), needed.extras
    )
    for name, needed in COMPUTING.items()
    if name != "keras on openvino"
}
# What runs the exported graph instead of ONNX Runtime: the engine's modules.
_ENGINES: Final = {
    "opencv": ("cv2",),
    "openvino": ("openvino",),
    "ncnn": ("ncnn",),
    "mnn": ("MNN",),
    "litert": ("ai_edge_litert", "flatbuffers"),
}
# The distributions of modules that are called otherwise, or have several.
DISTRIBUTIONS: Final = {
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
}
CHECKING: Final = Requirement(("onnx", "onnx_ir", "onnxruntime"), ("torch", "onnx"))


@dataclass(frozen=True)
class Runtime:
    """One way of computing the network.

    Attributes:
        name: its name on the command line and in reports.
        framework: the implementation that computes it, or that exports the graph.
        backend: Keras's backend; None without Keras, or to export through any installed one.
        onnx: whether ONNX Runtime runs an exported graph.
        port: a user's own function that computes it instead, as FILE.py:FUNCTION.
        port_mode: the numeric mode that the function computes in.
        engine: what runs the exported graph instead of ONNX Runtime; empty if nothing does.
        setting: how the engine is set, where it can be set otherwise than by default.
        file: a user's own ONNX file that ONNX Runtime runs in place of an exported graph.
    """

    name: str
    framework: Framework
    backend: Backend | None = None
    onnx: bool = False
    port: str = ""
    port_mode: str = "float32"
    engine: str = ""
    setting: str = ""
    file: str = ""

    @property
    def exported(self) -> bool:
        """Whether another process exports the graph first."""
        return (self.onnx and not self.file) or bool(self.engine)

    @property
    def trains(self) -> bool:
        """Whether it has gradients."""
        return not (self.onnx or self.port or self.engine_used)

    @property
    def may_be_dense(self) -> bool:
        """Whether it can apply the network densely; of a user's own file, its graph says that."""
        return not (self.port or self.engine)

    @property
    def engine_used(self) -> str:
        """The engine that computes, also behind Keras; empty without one."""
        return self.engine or ("openvino" if self.backend == "openvino" else "")

    @property
    def keras_backend(self) -> Backend | None:
        """The Keras backend that is used here; None without Keras.

        To export through any, the first whose requirements are met; TensorFlow if none's are.
        """
        if self.framework == "torch" or self.backend is not None:
            return self.backend
        met = (each for each in BACKENDS if not EXPORTING[f"keras on {each}"].missing())
        return next(met, BACKENDS[0])

    @property
    def computed_by(self) -> str:
        """The framework's entry in the table of requirements: ``torch``, ``keras on jax``.

        For a user's own port, its name: what it computes with is not known. An engine, too, has its
        own name.
        """
        if self.port or self.engine or self.file:
            return self.name
        backend = self.keras_backend
        return self.framework if backend is None else f"{self.framework} on {backend}"

    @property
    def requirement(self) -> Requirement:
        """What it needs."""
        if self.port:
            return Requirement()
        if self.file:
            return CHECKING
        if self.engine:
            needed = EXPORTING[self.framework]
            modules = (*needed.modules, *_ENGINES[self.engine])
            return Requirement(modules, (*needed.extras, "engines"))
        if self.onnx:
            needed = EXPORTING[self.computed_by]
            return Requirement((*needed.modules, "onnxruntime"), (*needed.extras, "onnx"))
        return COMPUTING[self.computed_by]

    def versions(self) -> dict[str, str]:
        """Package -> version of what it needs."""
        return package_versions(self.requirement.modules)

    def missing(self, device: Device = "cpu") -> str:
        """Why it cannot run here, and the command that helps; empty if it can."""
        if device == "cuda" and self.engine_used:
            return f"{self.name} runs on the CPU here, not on an NVIDIA GPU"
        needed = self.requirement
        if self.engine_used:
            # Whoever has the framework installs the engines alone.
            engines = Requirement(_ENGINES[self.engine_used], ("engines",))
            others = tuple(each for each in needed.modules if each not in engines.modules)
            if not Requirement(others).missing():
                return engines.missing()
        return needed.missing(device)


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
# Other projects' engines. They are run where they are named, or with ``all``.
ENGINES: Final = MappingProxyType(
    {
        runtime.name: runtime
        for runtime in (
            Runtime("opencv", "torch", engine="opencv"),
            Runtime("opencv-winograd", "torch", engine="opencv", setting="winograd"),
            Runtime("opencv-direct", "torch", engine="opencv", setting="direct"),
            Runtime("openvino", "torch", engine="openvino"),
            Runtime("ncnn", "torch", engine="ncnn"),
            Runtime("mnn", "torch", engine="mnn"),
            Runtime("litert", "torch", engine="litert"),
            Runtime("keras-openvino", "keras", "openvino"),
        )
    }
)
KNOWN: Final = MappingProxyType(RUNTIMES | ENGINES)
# The name that stands for all of them.
ALL: Final = "all"


def runtime(name: str) -> Runtime:
    """The runtime or engine of that name. Raises ``BadInput`` for an unknown name."""
    return KNOWN[require_one_of("runtime", name, tuple(KNOWN))]


def installed() -> list[Runtime]:
    """The runtimes that can run here, without the engines."""
    return [candidate for candidate in RUNTIMES.values() if not candidate.missing()]


def own_port(reference: str, mode: str = "float32") -> Runtime:
    """A user's own port as a runtime.

    Args:
        reference: ``FILE.py:FUNCTION``. The function takes preprocessed images, (N, 3, H, W)
            float32, and the path of the canonical checkpoint. It returns logits (N, classes), or a
            dictionary of taps with the logits as ``predictions``; maps are (N, C, H, W).
        mode: the numeric mode that it computes in.

    Raises:
        BadInput: the reference has another form, there is no such file, or no such mode.
    """
    require_one_of("--port-mode", mode, tuple(MODES))
    file, separator, function = reference.rpartition(":")
    if not (separator and file.endswith(".py") and function.isidentifier()):
        raise BadInput(
            "--port", f"{reference!r} does not name a function in a file", "FILE.py:FUNCTION"
        )
    path = require_file(file, "a Python file").resolve()
    return Runtime(f"{path.stem}:{function}", "torch", port=f"{path}:{function}", port_mode=mode)


def onnx_file(path: str | Path) -> Runtime:
    """A user's own ONNX file in ONNX Runtime, or the one in a bundle of ``vgg16 export``.

    Raises ``BadInput`` where there is no such file.
    """
    given = Path(path)
    file = given / "model.onnx" if given.is_dir() else given
    expected = "an ONNX file, or a folder that `vgg16 export` wrote"
    found = require_file(file, expected).resolve()
    name = given.resolve().name if given.is_dir() else found.name
    return Runtime(name or found.name, "torch", onnx=True, file=str(found))

"""The measured routes to ONNX: this project's, its peers', and units to compare with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from benchmarks.export import prepare
from benchmarks.export.prepare import Prepare, WeightsFile
from export import MODEL_FILE


@dataclass(frozen=True)
class Route:
    """One way of writing the network as ONNX, or a unit of comparison.

    Attributes:
        title: its name in the report.
        side: whose it is.
        prepare: the preparation before the clock starts; returns what is timed.
        out: where it writes, relative to the folder of all; the checkpoint is in ``shared/``.
        backend: Keras's backend, if the route uses Keras.
        session: whether ONNX Runtime also opens and runs its file.
        slow: whether it runs only with ``--slow``.
    """

    title: str
    side: Literal["ours", "peer", "unit"]
    prepare: Prepare
    out: str
    backend: str = ""
    session: bool = False
    slow: bool = False

    def settings(self) -> dict[str, str]:
        """The environment variables that its process needs."""
        return {"KERAS_BACKEND": self.backend} if self.backend else {}

    def model(self, work: Path) -> Path:
        """The ONNX file that it writes in the folder of all."""
        out = work / self.out
        return out if out.suffix else out / MODEL_FILE

    def written(self, work: Path) -> int:
        """The bytes of the files that it wrote; the shared checkpoint was there before."""
        out = work / self.out
        if not out.exists():
            return 0
        files = [out] if self.out.startswith("shared/") else [*(work / self.top).rglob("*")]
        return sum(file.stat().st_size for file in files if file.is_file())

    def clear(self, work: Path) -> None:
        """Remove what it wrote, and make the folder that it writes into."""
        if self.out.startswith("shared/"):
            (work / self.out).unlink(missing_ok=True)
        else:
            shutil.rmtree(work / self.top, ignore_errors=True)
            (work / self.out).parent.mkdir(parents=True, exist_ok=True)

    @property
    def top(self) -> str:
        """The folder that holds everything that it writes."""
        return self.out.partition("/")[0]


_BACKENDS: Final = MappingProxyType(
    {"": "PyTorch", "tensorflow": "Keras on TensorFlow", "jax": "Keras on JAX"}
    | {"torch": "Keras on PyTorch"}
)


def _ours(
    backend: str,
    weights_file: WeightsFile,
    out: str,
    *,
    test_data: bool = True,
    session: bool = False,
) -> Route:
    """This project's export, from Keras on a backend or, without one, from PyTorch."""
    kind: str = "one file" if weights_file == "embedded" else weights_file
    if weights_file == "separate":
        kind += f", {'with' if test_data else 'without'} test data"
    export = prepare.ours("keras" if backend else "torch", weights_file, test_data=test_data)
    title = f"this project, {_BACKENDS[backend]}, {kind}"
    return Route(title, "ours", export, out, backend, session)


def _peer(
    title: str,
    export: Prepare,
    out: str,
    *,
    backend: str = "",
    session: bool = True,
    slow: bool = False,
) -> Route:
    return Route(title, "peer", export, out, backend, session, slow)


ROUTES: Final = {
    "keras-shared": _ours("tensorflow", "shared", "shared/keras-tensorflow.onnx"),
    "keras-jax-shared": _ours("jax", "shared", "shared/keras-jax.onnx"),
    "keras-torch-shared": _ours("torch", "shared", "shared/keras-torch.onnx"),
    "torch-shared": _ours("", "shared", "shared/torch.onnx", session=True),
    "keras-separate": _ours("tensorflow", "separate", "keras-separate/bundle", test_data=False),
    "keras-separate-tested": _ours("tensorflow", "separate", "keras-separate-tested/bundle"),
    "torch-separate": _ours("", "separate", "torch-separate/bundle", test_data=False, session=True),
    "torch-separate-tested": _ours("", "separate", "torch-separate-tested/bundle"),
    "keras-embedded": _ours("tensorflow", "embedded", "keras-embedded/model.onnx"),
    "torch-embedded": _ours("", "embedded", "torch-embedded/model.onnx", session=True),
    "peer-torch-file": _peer(
        "torch.onnx.export, one file",
        prepare.torch_export(dynamo=True, external_data=False),
        "peer-torch-file/model.onnx",
    ),
    "peer-torch-external": _peer(
        "torch.onnx.export, external data",
        prepare.torch_export(dynamo=True, external_data=True),
        "peer-torch-external/model.onnx",
    ),
    "peer-torchscript": _peer(
        "torch.onnx.export, TorchScript, one file",
        prepare.torch_export(dynamo=False),
        "peer-torchscript/model.onnx",
    ),
    "peer-keras-torch": _peer(
        "keras.Model.export on PyTorch, one file",
        prepare.keras_export,
        "peer-keras-torch/model.onnx",
        backend="torch",
    ),
    "peer-tf2onnx": _peer(
        "tf2onnx, large model, zipped",
        prepare.tf2onnx_export,
        "peer-tf2onnx/model.zip",
        backend="tensorflow",
        session=False,
        slow=True,
    ),
    "peer-keras-tensorflow": _peer(
        "keras.Model.export on TensorFlow, one file",
        prepare.keras_export,
        "peer-keras-tensorflow/model.onnx",
        backend="tensorflow",
        session=False,
        slow=True,
    ),
    "copy": Route("a plain copy of the weights", "unit", prepare.copy, "copy/copy"),
    "safe-copy": Route(
        "a copy flushed to the disk (fsync, rename)", "unit", prepare.safe_copy, "safe-copy/copy"
    ),
    "open": Route(
        "opening the checkpoint, every value checked", "unit", prepare.open_only, "open/nothing"
    ),
}

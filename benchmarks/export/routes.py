"""The routes to ONNX that are measured: this project's, its peers', and units to compare with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.export.prepare import (
    Prepare,
    copy,
    keras_export,
    open_only,
    ours,
    safe_copy,
    tf2onnx_export,
    torch_export,
)
from export import MODEL_FILE


@dataclass(frozen=True)
class Route:
    """One way of writing the network as ONNX, or a unit.

    Attributes:
        title: what it is called in the report.
        side: whose it is.
        prepare: what comes before the clock; it gives what is timed.
        out: where it writes, from the folder of all; ``shared/`` is where the checkpoint lies.
        backend: Keras's, where Keras takes part.
        session: whether its file is opened and run by ONNX Runtime as well.
        slow: whether it is left out unless asked for.
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
        """The ONNX file that it leaves in the folder of all."""
        out = work / self.out
        return out if out.suffix else out / MODEL_FILE

    def written(self, work: Path) -> int:
        """The bytes of the files that it leaves; the shared checkpoint was there before."""
        out = work / self.out
        if not out.exists():
            return 0
        files = [out] if self.out.startswith("shared/") else [*(work / self.top).rglob("*")]
        return sum(file.stat().st_size for file in files if file.is_file())

    def clear(self, work: Path) -> None:
        """Remove what it wrote, and make room for it."""
        if self.out.startswith("shared/"):
            (work / self.out).unlink(missing_ok=True)
        else:
            shutil.rmtree(work / self.top, ignore_errors=True)
            (work / self.out).parent.mkdir(parents=True, exist_ok=True)

    @property
    def top(self) -> str:
        """The folder that holds all that it writes."""
        return self.out.partition("/")[0]


ROUTES: Final = {
    "keras-shared": Route(
        "this project, Keras on TensorFlow, shared",
        "ours",
        ours("keras", weights_file="shared"),
        "shared/keras-tensorflow.onnx",
        backend="tensorflow",
    ),
    "keras-jax-shared": Route(
        "this project, Keras on JAX, shared",
        "ours",
        ours("keras", weights_file="shared"),
        "shared/keras-jax.onnx",
        backend="jax",
    ),
    "keras-torch-shared": Route(
        "this project, Keras on PyTorch, shared",
        "ours",
        ours("keras", weights_file="shared"),
        "shared/keras-torch.onnx",
        backend="torch",
    ),
    "torch-shared": Route(
        "this project, PyTorch, shared",
        "ours",
        ours("torch", weights_file="shared"),
        "shared/torch.onnx",
        session=True,
    ),
    "keras-separate": Route(
        "this project, Keras on TensorFlow, separate, without test data",
        "ours",
        ours("keras", weights_file="separate", test_data=False),
        "keras-separate/bundle",
        backend="tensorflow",
    ),
    "keras-separate-tested": Route(
        "this project, Keras on TensorFlow, separate, with test data",
        "ours",
        ours("keras", weights_file="separate"),
        "keras-separate-tested/bundle",
        backend="tensorflow",
    ),
    "torch-separate": Route(
        "this project, PyTorch, separate, without test data",
        "ours",
        ours("torch", weights_file="separate", test_data=False),
        "torch-separate/bundle",
        session=True,
    ),
    "torch-separate-tested": Route(
        "this project, PyTorch, separate, with test data",
        "ours",
        ours("torch", weights_file="separate"),
        "torch-separate-tested/bundle",
    ),
    "keras-embedded": Route(
        "this project, Keras on TensorFlow, one file",
        "ours",
        ours("keras", weights_file="embedded"),
        "keras-embedded/model.onnx",
        backend="tensorflow",
    ),
    "torch-embedded": Route(
        "this project, PyTorch, one file",
        "ours",
        ours("torch", weights_file="embedded"),
        "torch-embedded/model.onnx",
        session=True,
    ),
    "peer-torch-file": Route(
        "torch.onnx.export, one file",
        "peer",
        torch_export(dynamo=True, external_data=False),
        "peer-torch-file/model.onnx",
        session=True,
    ),
    "peer-torch-external": Route(
        "torch.onnx.export, external data",
        "peer",
        torch_export(dynamo=True, external_data=True),
        "peer-torch-external/model.onnx",
        session=True,
    ),
    "peer-torchscript": Route(
        "torch.onnx.export, TorchScript, one file",
        "peer",
        torch_export(dynamo=False),
        "peer-torchscript/model.onnx",
        session=True,
    ),
    "peer-keras-torch": Route(
        "keras.Model.export on PyTorch, one file",
        "peer",
        keras_export,
        "peer-keras-torch/model.onnx",
        backend="torch",
        session=True,
    ),
    "peer-tf2onnx": Route(
        "tf2onnx, large model, zipped",
        "peer",
        tf2onnx_export,
        "peer-tf2onnx/model.zip",
        backend="tensorflow",
        slow=True,
    ),
    "peer-keras-tensorflow": Route(
        "keras.Model.export on TensorFlow, one file",
        "peer",
        keras_export,
        "peer-keras-tensorflow/model.onnx",
        backend="tensorflow",
        slow=True,
    ),
    "copy": Route("a plain copy of the weights", "unit", copy, "copy/copy"),
    "safe-copy": Route(
        "a copy that is on the disk (fsync, rename)", "unit", safe_copy, "safe-copy/copy"
    ),
    "open": Route("opening the checkpoint, every value checked", "unit", open_only, "open/nothing"),
}

"""The small network as each framework's own exporter writes it."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.frameworks import frameworks
from differences.harness.processes import ask

PYTORCH: Final = "PyTorch"
PYTORCH_DYNAMIC: Final = "PyTorch with dynamic_shapes"
KERAS_TENSORFLOW: Final = "Keras on TensorFlow"
KERAS_PYTORCH: Final = "Keras on PyTorch"


@cache
def models() -> dict[str, onnx.ModelProto]:
    """Exporter -> the small network as it writes it, with its weights."""
    torch, keras = frameworks()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keras_torch.onnx"
        asked = ask("onnx.exported", {"KERAS_BACKEND": "torch"}, str(path))
        found = {
            PYTORCH: _by_torch(torch, None),
            PYTORCH_DYNAMIC: _by_torch(torch, ({0: torch.export.Dim("batch")},)),
            KERAS_TENSORFLOW: _by_keras(keras),
        }
        asked()
        return found | {KERAS_PYTORCH: onnx.load(path)}


def first_input(model: onnx.ModelProto) -> tuple[int | str, ...]:
    """The shape of the graph's input; a dynamic size is text."""
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    return tuple(size.dim_param or size.dim_value for size in sizes)


def answer(model: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """ONNX Runtime's logits of images (N, 3, 64, 64), which are passed in the graph's layout.

    Raises:
        Exception: ONNX Runtime's own, if the graph does not accept the batch size.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a failure raises; the log would repeat it
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    last = first_input(model)[-1] == images.shape[1]
    fed = np.ascontiguousarray(images.transpose(0, 2, 3, 1) if last else images)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: fed})[0])


def _by_torch(torch: Any, shapes: Any) -> onnx.ModelProto:
    from torch_impl import VGG

    model = VGG("tiny", weights=tiny.checkpoint()).eval()
    with _quiet():
        program = torch.onnx.export(
            model,
            (torch.tensor(tiny.images()[:1]),),
            dynamo=True,
            dynamic_shapes=shapes,
            verbose=False,
        )
    proto: onnx.ModelProto = program.model_proto
    return proto


def _by_keras(keras: Any) -> onnx.ModelProto:
    from keras_impl import functional

    model = functional("tiny", classifier_activation=None, weights=tiny.checkpoint())
    # Keras cannot export a model that was never called.
    model(keras.ops.zeros((1, *model.input_shape[1:])))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        model.export(str(path), format="onnx", verbose=False)
        return onnx.load(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which call deprecated functions of their own frameworks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    import keras as keras_on_torch

    onnx.save(_by_keras(keras_on_torch), sys.argv[1])
    print("null")

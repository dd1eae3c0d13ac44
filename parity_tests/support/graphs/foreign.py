"""The tiny network as other exporters write it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import keras_impl
import torch_impl
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.names import torchvision_keys


@contextmanager
def exporters_own_warnings() -> Iterator[None]:
    """PyTorch's exporters warn of themselves, and of the size that `torch_impl.VGG` checks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")
        yield


def from_torch(checkpoint: Checkpoint, path: Path, *, dynamo: bool) -> None:
    model = torch_impl.VGG("tiny")
    torch_impl.load_checkpoint(model, checkpoint)
    images = torch.zeros(7, 3, 64, 64)  # a fixed batch, which the graph may state again
    with exporters_own_warnings():
        if dynamo:
            torch.onnx.export(model.eval(), (images,), path, dynamo=True, verbose=False)
        else:
            free = {"x": {0: "batch"}}
            torch.onnx.export(
                model.eval(), (images,), path, dynamo=False, input_names=["x"], dynamic_axes=free
            )


def from_torchvision(checkpoint: Checkpoint, path: Path) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs torchvision")
    plan: list[int | str] = []
    for block in checkpoint.configuration.column:
        plan += [*(int(conv.partition("-")[2]) for conv in block.split()), "M"]
    model = torchvision.models.VGG(torchvision.models.vgg.make_layers(plan), init_weights=False)
    # What torchvision fixes to VGG16's own sizes.
    model.avgpool = torch.nn.AdaptiveAvgPool2d((2, 2))
    shapes = (checkpoint[f"{layer}.weight"].shape for layer in ("fc1", "fc2", "predictions"))
    for index, (outputs, inputs) in zip((0, 3, 6), shapes, strict=True):
        model.classifier[index] = torch.nn.Linear(inputs, outputs)
    keys = torchvision_keys(checkpoint.configuration)
    model.load_state_dict({k: torch.tensor(checkpoint[n]) for n, k in keys.items()})
    free = ({0: torch.export.Dim("batch")},)
    with exporters_own_warnings():
        torch.onnx.export(
            model.eval(),
            (torch.zeros(2, 3, 64, 64),),
            path,
            dynamo=True,
            dynamic_shapes=free,
            verbose=False,
        )


def from_keras(checkpoint: Checkpoint, path: Path, **options: Any) -> None:
    import tensorflow as tf
    import tf2onnx

    model = keras_impl.functional("tiny", kernel_initializer="zeros", **options)
    keras_impl.load_checkpoint(model, checkpoint)
    images = [tf.TensorSpec((None, 64, 64, 3), tf.float32, name="x")]
    function = tf.function(lambda x: model(x, training=False), input_signature=images)
    tf2onnx.convert.from_function(function, input_signature=images, output_path=str(path))

"""The preparation of each measured route, which returns the function that is timed.

It imports the framework, builds a peer's model and loads the checkpoint into it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from export import export_onnx
from export.constants import Framework
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import torchvision_keys

if TYPE_CHECKING:
    import torch

# Configuration -> torchvision's constructor. For the others, this project's module of the same
# structure and keys stands in.
TORCHVISION: Final = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}

WeightsFile = Literal["shared", "separate", "embedded"]
Timed = Callable[[], object]
# The checkpoint's file, where to write -> what is timed.
Prepare = Callable[[Path, Path], Timed]


def ours(framework: Framework, weights_file: WeightsFile, *, test_data: bool) -> Prepare:
    """This project's export."""

    def prepare(checkpoint: Path, out: Path) -> Timed:
        opened = open_checkpoint(checkpoint, check_values=False)
        return lambda: export_onnx(
            framework, opened, out, weights_file=weights_file, test_data=test_data
        )

    return prepare


def torch_export(*, dynamo: bool, external_data: bool = True) -> Prepare:
    """PyTorch's own export."""

    def prepare(checkpoint: Path, out: Path) -> Timed:
        import torch

        opened = open_checkpoint(checkpoint, check_values=False)
        model = _torch_model(opened)
        # Two images: the exporter would make a constant of a batch of one.
        images = torch.zeros(2, *opened.configuration.input_shape)
        free: dict[str, Any] = (
            {
                "dynamic_shapes": ({0: torch.export.Dim("batch")},),
                "external_data": external_data,
            }
            if dynamo
            else {"dynamic_axes": {"images": {0: "batch"}, "logits": {0: "batch"}}}
        )
        return lambda: torch.onnx.export(
            model,
            (images,),
            str(out),
            input_names=["images"],
            output_names=["logits"],
            dynamo=dynamo,
            verbose=False,
            **free,
        )

    return prepare


def _torch_model(checkpoint: Checkpoint) -> torch.nn.Module:
    """A model of torchvision's with a copy of the checkpoint's weights."""
    import torch

    configuration = checkpoint.configuration
    state = {
        key: torch.from_numpy(np.array(checkpoint[name]))
        for name, key in torchvision_keys(configuration).items()
    }
    with torch.device("meta"):  # neither memory nor random numbers for values that are replaced
        model: torch.nn.Module
        if configuration.name in TORCHVISION:
            import torchvision

            model = getattr(torchvision.models, TORCHVISION[configuration.name])(weights=None)
        else:
            from torch_impl import VGG

            model = VGG(configuration.name, classes=configuration.classes)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def keras_export(checkpoint: Path, out: Path) -> Timed:
    """Keras's own export, on its current backend."""
    model = _keras_model(checkpoint)
    return lambda: model.export(str(out), format="onnx", verbose=False)


def tf2onnx_export(checkpoint: Path, out: Path) -> Timed:
    """tf2onnx, as its documentation recommends for large models."""
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()  # tf2onnx fails with NumPy 2; this is Keras's own remedy
    model = _keras_model(checkpoint)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")]

    def export() -> None:
        tf2onnx.convert.from_function(
            tf.function(lambda images: model(images, training=False), autograph=False),
            input_signature=signature,
            large_model=True,
            output_path=str(out),
        )

    return export


def _keras_model(checkpoint: Path) -> Any:
    from keras_impl import functional, load_checkpoint

    opened = open_checkpoint(checkpoint, check_values=False)
    model = functional(
        opened.configuration.name,
        classes=opened.configuration.classes,
        classifier_activation=None,
        kernel_initializer="zeros",
    )
    load_checkpoint(model, opened)
    # Keras cannot export a model that was never called.
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    return model


def copy(checkpoint: Path, out: Path) -> Timed:
    """A copy of the weights, perhaps not yet on the disk."""
    return lambda: shutil.copyfile(checkpoint, out)


def safe_copy(checkpoint: Path, out: Path) -> Timed:
    """A copy of the weights, flushed to the disk as this project's exports are."""

    def write() -> None:
        with whole_file(out) as temporary:
            shutil.copyfile(checkpoint, temporary)

    return write


def open_only(checkpoint: Path, _out: Path) -> Timed:
    """What `vgg16 export` does first: read and check every value."""
    return lambda: open_checkpoint(checkpoint)

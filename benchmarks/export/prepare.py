"""What comes before the clock on each measured route, and the function that is timed.

Each of them imports its framework, builds a peer's model and loads the checkpoint into it. Nothing
here imports a framework before that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export import export_onnx
from export.constants import Framework
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.names import torchvision_keys

if TYPE_CHECKING:
    import torch

# torchvision's constructor of each configuration; it has none of the others, for which this
# project's module, of the same structure and keys, stands in.
TORCHVISION: Final = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}

Timed = Callable[[], object]
# Of the checkpoint's file and of where to write.
Prepare = Callable[[Path, Path], Timed]


def ours(framework: Framework, **options: Any) -> Prepare:
    """Our own export, with these options."""

    def prepare(checkpoint: Path, out: Path) -> Timed:
        opened = open_checkpoint(checkpoint, check_values=False)
        return lambda: export_onnx(framework, opened, out, **options)

    return prepare


def torch_export(**options: Any) -> Prepare:
    """PyTorch's own export, with these options."""

    def prepare(checkpoint: Path, out: Path) -> Timed:
        import torch

        opened = open_checkpoint(checkpoint, check_values=False)
        model = _torch_model(opened)
        # Two images, lest the exporter take a batch of one for a constant.
        images = torch.zeros(2, *opened.configuration.input_shape)
        chosen: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
        if options["dynamo"]:
            chosen["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
        else:
            chosen["dynamic_axes"] = {"images": {0: "batch"}, "logits": {0: "batch"}}
        chosen |= {"verbose": False, **options}
        return lambda: torch.onnx.export(model, (images,), str(out), **chosen)

    return prepare


def _torch_model(checkpoint: Checkpoint) -> torch.nn.Module:
    """The model of torchvision's with the checkpoint's weights, in memory of its own."""
    import torch

    configuration = checkpoint.configuration
    state = {
        key: torch.from_numpy(np.array(checkpoint[name]))
        for name, key in torchvision_keys(configuration).items()
    }
    with torch.device("meta"):  # no memory and no random numbers for values to be replaced
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
    """Keras's own export, on the backend that Keras runs on."""
    model = _keras_model(checkpoint)
    return lambda: model.export(str(out), format="onnx", verbose=False)


def tf2onnx_export(checkpoint: Path, out: Path) -> Timed:
    """The converter tf2onnx as its documentation has it for large models."""
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()  # tf2onnx's own code fails with NumPy 2; this is what Keras does about it
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
    # Keras exports no model that was never called.
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    return model


def copy(checkpoint: Path, out: Path) -> Timed:
    """A copy of the weights, which may still be on its way to the disk."""
    return lambda: shutil.copyfile(checkpoint, out)


def safe_copy(checkpoint: Path, out: Path) -> Timed:
    """A copy of the weights that is on the disk, as this project's exports are."""

    def write() -> None:
        with whole_file(out) as temporary:
            shutil.copyfile(checkpoint, temporary)

    return write


def open_only(checkpoint: Path, _out: Path) -> Timed:
    """What the command line does before an export: every value is read and checked."""
    return lambda: open_checkpoint(checkpoint)

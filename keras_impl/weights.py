"""A checkpoint into a model, and a model into a checkpoint."""

from __future__ import annotations

import keras

from vgg16_spec import layouts
from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor, shapes
from vgg16_spec.checkpoint.matching import fitting


def load_checkpoint(model: keras.Model, checkpoint: Checkpoint, *, drop_head: bool = False) -> None:
    """Copy a checkpoint's weights into a model; a float32 model holds them exactly.

    Args:
        model: of either form. Its layers are found by name.
        checkpoint: the weights.
        drop_head: keep the model's own ``predictions``, with any number of classes.

    Raises:
        BadInput: tensors are missing, unexpected or misshapen, all of them listed. The model is
            unchanged.
    """
    described = f"the tensors of the model {model.name}"
    names = fitting(checkpoint, _shapes(model), described, drop_head=drop_head)
    feature_shape = checkpoint.configuration.feature_shape
    variables = parameters(model)
    for name in names:
        # (out, in, kH, kW) -> (kH, kW, in, out); (out, in) -> (in, out); fc1 from CHW to HWC
        values = layouts.canonical_to_keras(name, checkpoint[name], feature_shape)
        variables[name].assign(values)


def to_checkpoint(model: keras.Model, metadata: Metadata | None = None) -> Checkpoint:
    """A model's weights as a checkpoint; each tensor is read from the model when asked for.

    Args:
        model: of either form, in float32.
        metadata: what the checkpoint says about itself. By default its recipe is that of Keras's
            own weights, ``caffe``.

    Raises:
        BadInput: the weights are those of no configuration, or not float32.
    """
    metadata = metadata or Metadata(recipe="caffe", source="a Keras model")
    configuration = configuration_of(model)

    def tensor(name: str, variable: keras.Variable) -> Tensor:
        return Tensor(
            _shape(variable),
            str(variable.dtype),
            # (kH, kW, in, out) -> (out, in, kH, kW); (in, out) -> (out, in); fc1 from HWC to CHW
            lambda: layouts.keras_to_canonical(
                name, keras.ops.convert_to_numpy(variable), configuration.feature_shape
            ),
        )

    tensors = {name: tensor(name, variable) for name, variable in parameters(model).items()}
    return Checkpoint(configuration, metadata, tensors)


def parameters(model: keras.Model) -> dict[str, keras.Variable]:
    """Canonical tensor name -> the model's variable, in the order of the model's layers."""
    return {
        f"{layer.name}.{'weight' if variable.name == 'kernel' else variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def configuration_of(model: keras.Model) -> Configuration:
    """The configuration whose weights a model has. Raises ``BadInput`` if there is none."""
    return shapes.configuration_of(_shapes(model), model.name)


def _shapes(model: keras.Model) -> dict[str, Shape]:
    return {name: _shape(variable) for name, variable in parameters(model).items()}


def _shape(variable: keras.Variable) -> Shape:
    return layouts.keras_shape_to_canonical(tuple(variable.shape))

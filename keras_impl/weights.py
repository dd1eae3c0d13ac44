"""A checkpoint into a model, and a model into a checkpoint."""

from __future__ import annotations

import keras

from vgg16_spec import layouts
from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor, checkpoint
from vgg16_spec.checkpoint.matching import fitting


def load_checkpoint(model: keras.Model, checkpoint: Checkpoint, *, drop_head: bool = False) -> None:
    """Give the model the checkpoint's weights; every value is kept exactly in a float32 model.

    Layers are found by name. With ``drop_head`` the model keeps its own ``predictions``, as it was
    built, of any number of classes; everything else is loaded.

    Raises ``BadInput`` that lists every tensor that the other side lacks or has in another shape;
    the model is then unchanged.
    """
    expected = f"the weights of {model.name}"
    names = fitting(checkpoint, _shapes(model), expected, drop_head=drop_head)
    feature_shape = checkpoint.configuration.feature_shape
    held = variables(model)
    for name in names:
        held[name].assign(layouts.canonical_to_keras(name, checkpoint[name], feature_shape))


def to_checkpoint(model: keras.Model, metadata: Metadata | None = None) -> Checkpoint:
    """The model's weights as a checkpoint; each is read from the model when asked for.

    Without ``metadata`` the recipe is that of Keras's own weights, ``caffe``.

    Raises ``BadInput`` when the model is none of the configurations, or not float32.
    """
    metadata = metadata or Metadata(recipe="caffe", source="a Keras model")
    configuration = configuration_of(model)

    def tensor(name: str, variable: keras.Variable) -> Tensor:
        return Tensor(
            _shape(variable),
            str(variable.dtype),
            lambda: layouts.keras_to_canonical(
                name, keras.ops.convert_to_numpy(variable), configuration.feature_shape
            ),
        )

    tensors = {name: tensor(name, variable) for name, variable in variables(model).items()}
    return Checkpoint(configuration, metadata, tensors)


def configuration_of(model: keras.Model) -> Configuration:
    """The configuration that the model's weights are those of.

    Raises ``BadInput`` when they are those of none.
    """
    return checkpoint.configuration_of(_shapes(model), model.name)


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Canonical tensor name -> the model's variable, in the order of the model's layers."""
    return {
        f"{layer.name}.{'weight' if variable.name == 'kernel' else variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def _shapes(model: keras.Model) -> dict[str, Shape]:
    return {name: _shape(variable) for name, variable in variables(model).items()}


def _shape(variable: keras.Variable) -> Shape:
    return layouts.keras_shape_to_canonical(tuple(variable.shape))

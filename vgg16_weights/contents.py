"""What a file has in it, and the checkpoint that this makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple

from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor, digest
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.layouts import (
    canonical_view,
    hwio_to_oihw,
    keras_shape_to_canonical,
    keras_view,
)
from vgg16_spec.names import same_values
from vgg16_weights.formats import Format
from vgg16_weights.identify import identify

# Gives a tensor's values by its canonical name, as flat blocks in the format's order of axes.
BlocksOf = Callable[[str], Iterator[Array]]

# A layer's two tensors.
PARTS: Final = ("weight", "bias")
FIRST_KERNEL: Final = "block1_conv1.weight"

DataFormat = Literal["channels_last", "channels_first"]


class Choices(NamedTuple):
    """What the user decides where a file cannot tell.

    Attributes:
        key: the path or prefix of one of several sets of weights in a file.
        data_format: the order of a Keras model's maps when they are flattened for fc1.
        include_top: whether the classifier is wanted; without it, any head is ignored.
    """

    key: str | None = None
    data_format: DataFormat | None = None
    include_top: bool = True


class Contents(NamedTuple):
    """What is read out of a file.

    Attributes:
        tensors: ``<layer>.<part>``, as the file calls the layer, with the part ``weight`` or
            ``bias`` where the format tells, in the file's order; shape and values have the format's
            own order of axes. What lies in a dictionary, a group or a nested model has its path in
            front: ``state_dict/module.features.0.weight``, ``vgg16/block1_conv1.weight``.
        kept: the metadata that writing left in the file.
        is_ordered: whether the tensors stand in the order of the network's layers.
        data_format: in what order maps are flattened for fc1, where the file says so.
        recipe: the preprocessing that the file states.
        steps: what reading decided, for the user.
    """

    tensors: Mapping[str, Tensor]
    kept: Metadata | None = None
    is_ordered: bool = False
    data_format: DataFormat | None = None
    recipe: Recipe | None = None
    steps: tuple[str, ...] = ()


def by_name(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Name -> tensor. Raises ``ValueError`` for a name that is there twice."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"it holds {name} twice")
        found[name] = tensor
    return found


def checkpoint_of(
    contents: Contents, path: Path, file_format: Format, choices: Choices
) -> Checkpoint:
    """The checkpoint that a file's contents are.

    Raises ``BadInput`` that lists every tensor that does not fit.
    """
    stored, label = contents.tensors, str(path)
    shapes = {key: tensor.shape for key, tensor in stored.items()}
    if file_format.keras_order:
        shapes = {key: keras_shape_to_canonical(shape) for key, shape in shapes.items()}
    identity = identify(
        shapes,
        label=label,
        is_ordered=contents.is_ordered,
        key=choices.key,
        include_top=choices.include_top,
    )
    configuration, keys = identity.configuration, identity.keys
    metadata = contents.kept or Metadata(
        file_format.recipe, path.name, file_format.name, digest(path)
    )
    if contents.kept is None and contents.recipe is not None:
        metadata = metadata.with_recipe(contents.recipe)
    is_reversed = _is_reversed(file_format, metadata, label)

    def view(name: str) -> Array:
        values = stored[keys[name]].view()
        if file_format.dense_as_kernels and values.ndim == 4:
            values = hwio_to_oihw(values)
        elif file_format.keras_order:
            values = canonical_view(name, values, configuration.feature_shape)
        return swap_rgb_bgr(values) if is_reversed and name == FIRST_KERNEL else values

    tensors: dict[str, Tensor] = {}
    for name, key in keys.items():
        shape, expected = shapes[key], configuration.weight_shapes.get(name)
        if (
            file_format.dense_as_kernels
            and expected
            and same_values(expected, shape, configuration.feature_shape)
        ):
            shape = expected
        tensors[name] = Tensor(shape, stored[key].dtype, partial(view, name))
    steps = (*contents.steps, *identity.steps)
    return Checkpoint(
        configuration,
        metadata,
        tensors,
        label=label,
        steps=steps,
        recipe_is_assumed=contents.kept is None and contents.recipe is None,
    )


def arrangement(checkpoint: Checkpoint, file_format: Format) -> Callable[[str, Array], Array]:
    """What makes of a canonical tensor's name and values a view in the format's order.

    Raises ``BadInput`` for an unknown recipe where the format's order depends on it.
    """
    is_reversed = _is_reversed(file_format, checkpoint.metadata, checkpoint.label)

    def view(name: str, values: Array) -> Array:
        if is_reversed and name == FIRST_KERNEL:
            values = swap_rgb_bgr(values)
        if file_format.keras_order:
            values = keras_view(name, values, checkpoint.configuration.feature_shape)
        return values

    return view


def swap_rgb_bgr(kernel: Array) -> Array:
    """(out, in, kH, kW) with its input channels in reverse order: BGR <-> RGB, a view."""
    return kernel[:, ::-1]


def _is_reversed(file_format: Format, metadata: Metadata, label: str) -> bool:
    """Whether the recipe's images are BGR, in a format whose first kernel reads RGB."""
    of_rgb = file_format.layout == "keras RGB"
    return of_rgb and metadata.recipe_record(label).channels == "BGR"

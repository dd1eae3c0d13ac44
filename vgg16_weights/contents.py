"""What a file has in it, and the checkpoint that this makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor, configuration_of, digest
from vgg16_spec.images.recipes import recipe_named
from vgg16_spec.layouts import (
    canonical_view,
    hwio_to_oihw,
    keras_shape_to_canonical,
    keras_view,
)
from vgg16_spec.names import same_values
from vgg16_weights.formats import Format

# Gives a tensor's values by its canonical name, as flat blocks in the format's order of axes.
BlocksOf = Callable[[str], Iterator[Array]]

# A layer's two tensors.
PARTS: Final = ("weight", "bias")
FIRST_KERNEL: Final = "block1_conv1.weight"
_KERNEL: Final = re.compile(r"block[1-9]_conv[1-9]\.weight")


class Contents(NamedTuple):
    """What is read out of a file.

    Attributes:
        tensors: by canonical name, as far as one has such a name; shape and values have the
            format's own order of axes.
        kept: the metadata that writing left in the file.
    """

    tensors: Mapping[str, Tensor]
    kept: Metadata | None = None


def by_name(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Name -> tensor. Raises ``ValueError`` for a name that is there twice."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"it holds {name} twice")
        found[name] = tensor
    return found


def checkpoint_of(contents: Contents, path: Path, file_format: Format) -> Checkpoint:
    """The checkpoint that a file's contents are.

    Raises ``BadInput`` that lists every tensor that does not fit.
    """
    stored, label = contents.tensors, str(path)
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    if file_format.keras_order:
        shapes = {name: keras_shape_to_canonical(shape) for name, shape in shapes.items()}
    configuration = _configuration_of(shapes, label)
    metadata = contents.kept or Metadata(
        file_format.recipe, path.name, file_format.name, digest(path)
    )
    is_reversed = _is_reversed(file_format, metadata.recipe, label)

    def view(name: str) -> Array:
        values = stored[name].view()
        if file_format.dense_as_kernels and values.ndim == 4:
            values = hwio_to_oihw(values)
        elif file_format.keras_order:
            values = canonical_view(name, values, configuration.feature_shape)
        return swap_rgb_bgr(values) if is_reversed and name == FIRST_KERNEL else values

    if file_format.dense_as_kernels:
        for name, shape in configuration.weight_shapes.items():
            if name in shapes and same_values(shape, shapes[name], configuration.feature_shape):
                shapes[name] = shape
    tensors = {
        name: Tensor(shape, stored[name].dtype, partial(view, name))
        for name, shape in shapes.items()
    }
    return Checkpoint(configuration, metadata, tensors, label=label)


def arrangement(checkpoint: Checkpoint, file_format: Format) -> Callable[[str, Array], Array]:
    """What makes of a canonical tensor's name and values a view in the format's order.

    Raises ``BadInput`` for an unknown recipe where the format's order depends on it.
    """
    is_reversed = _is_reversed(file_format, checkpoint.metadata.recipe, checkpoint.label)

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


def _is_reversed(file_format: Format, recipe: str, label: str) -> bool:
    """Whether a recipe's images are BGR, in a format whose first kernel reads RGB."""
    return file_format.layout == "keras RGB" and recipe_named(recipe, label).channels == "BGR"


def _configuration_of(shapes: Mapping[str, Shape], label: str) -> Configuration:
    """The configuration that tensors of these names and shapes, in any order, belong to.

    Where any tensor has a convolution's name, only these decide which: a stray one is then
    reported by its name, with all the others.
    """
    is_named = any(map(_KERNEL.fullmatch, shapes))
    deciding = {
        name: shapes[name]
        for name in sorted(shapes)
        if not is_named or len(shapes[name]) != 4 or _KERNEL.fullmatch(name)
    }
    return configuration_of(deciding, label)

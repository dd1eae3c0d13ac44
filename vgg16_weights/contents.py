"""The contents of a weights file, and how they become a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import BLOCK_BYTES, Array, blocks
from vgg16_spec.checkpoint import FLOATS, Checkpoint, Metadata, Tensor
from vgg16_spec.checkpoint.tensors import CHUNK_VALUES, as_float32
from vgg16_spec.errors import BadInput, few
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.layouts import (
    canonical_view,
    hwio_to_oihw,
    keras_shape_to_canonical,
    keras_view,
)
from vgg16_spec.names import same_values
from vgg16_weights.formats import Format
from vgg16_weights.matching.identify import Identity, identify
from vgg16_weights.matching.image_statistics import recipe_within
from vgg16_weights.matching.layers import PARTS as PARTS

# Gives a tensor's values by its canonical name, as flat blocks in the format's order of axes.
BlocksOf = Callable[[str], Iterator[Array]]

FIRST_KERNEL: Final = "block1_conv1.weight"
FC1: Final = "fc1.weight"
_WITHOUT_HEAD: Final = (
    "a VGG's classifier, or --no-top (include_top=False) for the convolutions alone"
)

DataFormat = Literal["channels_last", "channels_first"]


class Choices(NamedTuple):
    """What the user decides where a file cannot tell.

    Attributes:
        key: the path or prefix of one of several sets of weights in a file.
        data_format: the order of a Keras model's maps when they are flattened for fc1.
        include_top: whether the classifier is wanted; without it, any head is ignored.
        recipe: the preprocessing of the weights, in place of what the file states.
    """

    key: str | None = None
    data_format: DataFormat | None = None
    include_top: bool = True
    recipe: Recipe | None = None


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
        head_problem: why its model's classifier is not a VGG's, where the file says what it is.
        steps: what reading decided, for the user.
    """

    tensors: Mapping[str, Tensor]
    kept: Metadata | None = None
    is_ordered: bool = False
    data_format: DataFormat | None = None
    recipe: Recipe | None = None
    head_problem: str = ""
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
    """The checkpoint made from a file's contents.

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
    if contents.head_problem and choices.include_top:
        raise BadInput(label, contents.head_problem, _WITHOUT_HEAD)
    if contents.is_ordered and file_format.layout == "keras":
        weights = [n for n in configuration.weight_shapes if n in keys and n.endswith(".weight")]
        _check_order([keys[name] for name in weights], contents, label)
    data_format, flattened = (
        _flattened(contents, label, file_format, choices) if FC1 in keys else (None, "")
    )
    metadata, said, is_assumed = _metadata(contents, path, file_format, choices, identity)
    view = _canonical_order(
        file_format,
        data_format,
        configuration.feature_shape,
        is_reversed=_is_reversed(file_format, metadata, label),
    )
    is_chw = (choices.data_format or contents.data_format) == "channels_first"
    tensors: dict[str, Tensor] = {}
    for name, key in keys.items():
        shape, expected = shapes[key], configuration.weight_shapes.get(name)
        if expected and same_values(expected, shape, configuration.feature_shape, is_chw=is_chw):
            shape = expected
        tensors[name] = Tensor(shape, stored[key].dtype, partial(view, name, stored[key]))
    tensors, widened = _as_float32(tensors, label)
    return Checkpoint(
        configuration,
        metadata,
        tensors,
        label=label,
        steps=[*filter(None, (*contents.steps, *identity.steps, said, flattened, *widened))],
        is_recipe_assumed=is_assumed,
    )


def _metadata(
    contents: Contents, path: Path, file_format: Format, choices: Choices, identity: Identity
) -> tuple[Metadata, str, bool]:
    """What travels with the values, what was decided of it, and whether the recipe is assumed."""
    kept, recipe, step = contents.kept, choices.recipe, ""
    if kept is None:
        recipe = recipe or contents.recipe
        if recipe is None and identity.statistics:
            within = {key: contents.tensors[key] for key in identity.statistics}
            recipe = recipe_within(within, str(path))
            step = f"recipe read from {few(f'`{key}`' for key in within)}"
        kept = Metadata.of_file(file_format.recipe, path, file_format.name)
    metadata = kept if recipe is None else kept.with_recipe(recipe)
    return metadata, step, contents.kept is None and recipe is None


def _canonical_order(
    file_format: Format, data_format: DataFormat | None, feature_shape: Shape, *, is_reversed: bool
) -> Callable[[str, Tensor], Array]:
    """What makes of a canonical name and a tensor as it is stored a view in canonical order."""

    def view(name: str, tensor: Tensor) -> Array:
        values = tensor.view()
        if file_format.keras_order and values.ndim == 4:
            values = hwio_to_oihw(values)
        elif name == FC1 and data_format == "channels_first":
            values = values.T
        elif file_format.keras_order:
            values = canonical_view(name, values, feature_shape)
        return swap_rgb_bgr(values) if is_reversed and name == FIRST_KERNEL else values

    return view


def _check_order(keys: Sequence[str], contents: Contents, label: str) -> None:
    """Raise ``BadInput`` if names and positions give two orders of the layers, and both fit.

    Args:
        keys: the keys of weights in the order that their names tell.
        contents: the file's, in the order of the data.
        label: what the error calls the file.
    """
    stored = contents.tensors
    positions = {key: position for position, key in enumerate(stored)}
    by_position = sorted(keys, key=positions.__getitem__)
    if [stored[key].shape for key in by_position] != [stored[key].shape for key in keys]:
        return  # no network in this order, so the names alone tell
    for named, found in zip(keys, by_position, strict=True):
        if named != found:
            earlier, later = (key.rpartition(".")[0] for key in (found, named))
            problem = f"{earlier!r} comes before {later!r}, which contradicts their names"
            raise BadInput(label, problem, "layers named in the order of the data")


def _as_float32(
    tensors: Mapping[str, Tensor], label: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors as a checkpoint's, and what that changes, in words.

    Tensors that are not floating point stay as they are; the checkpoint refuses them.

    Raises ``BadInput`` for values beyond float32's range.
    """
    kinds = {tensor.dtype for tensor in tensors.values()}
    steps = [f"widened from {kind}" for kind in ("float16", "bfloat16") if kind in kinds]
    wide = [name for name, tensor in tensors.items() if tensor.dtype == "float64"]
    # Each is looked at: a list, since any() would stop at the first.
    rounded = [is_rounded(name, tensors[name], label) for name in wide]
    if wide:
        steps.append(
            "rounded from float64" if any(rounded) else "float64 read as float32 without loss"
        )
    narrow = {
        name: replace(tensor, dtype="float32") if tensor.dtype in FLOATS else tensor
        for name, tensor in tensors.items()
    }
    return narrow, tuple(steps)


def is_rounded(
    name: str,
    tensor: Tensor,
    label: str,
    *,
    block_bytes: int = BLOCK_BYTES,
    chunk_values: int = CHUNK_VALUES,
) -> bool:
    """Whether float64 values change as float32. Raises ``BadInput`` where one becomes infinite."""
    changes = False
    for block in blocks(tensor.view(), block_bytes):
        for start in range(0, block.size, chunk_values):
            values = block[start : start + chunk_values]
            narrow = as_float32(values)
            if np.any(np.isinf(narrow) & np.isfinite(values)):
                problem = f"{name} has values beyond float32's range"
                raise BadInput(label, problem, "values that stay finite as float32")
            changes = changes or not np.array_equal(values, narrow, equal_nan=True)
    return changes


def _flattened(
    contents: Contents, label: str, file_format: Format, choices: Choices
) -> tuple[DataFormat, str]:
    """The order in which maps are flattened for fc1, and what to tell the user if it is assumed.

    Raises ``BadInput`` if the user and the file disagree.
    """
    stated, chosen = contents.data_format, choices.data_format
    # Our own files have one order, and no other format leaves a choice.
    if stated is None and (contents.kept is not None or file_format.layout != "keras"):
        stated = "channels_last" if file_format.keras_order else "channels_first"
    if stated is None:
        step = f"fc1 read as {chosen or 'channels_last'}"
        way_out = "" if chosen else " (else: --data-format channels_first)"
        return chosen or "channels_last", step + way_out
    if chosen not in (None, stated):
        problem = f"it flattens its maps in the order {stated}"
        raise BadInput(label, problem, f"--data-format {stated}, or none")
    return stated if file_format.keras_order else "channels_last", ""


def arrangement(checkpoint: Checkpoint, file_format: Format) -> Callable[[str, Array], Array]:
    """A function from a canonical tensor's name and values to a view in the format's order.

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

"""Weights by whatever names them: a published set's name, a file of any format, a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import Checkpoint, Metadata
from vgg16_spec.errors import BadInput, counted
from vgg16_spec.images.recipes import Recipe
from vgg16_weights.contents import Choices, DataFormat
from vgg16_weights.detection import read_chosen
from vgg16_weights.published import pretrained
from vgg16_weights.published.fetch import fetch
from vgg16_weights.published.pretrained import Published
from vgg16_weights.tf.checkpoints import file_named

# What a model's `weights` may be: a published set's name, a file, or a checkpoint.
Weights: TypeAlias = str | os.PathLike[str] | Checkpoint


def published_record(weights: Weights) -> Published | None:
    """The record that a name means; a file of that name in the working folder takes precedence."""
    if not isinstance(weights, str) or Path(weights).is_file():
        return None
    return pretrained.PUBLISHED.get(weights)


def open_weights(
    weights: Weights,
    progress: Callable[[int, int | None], None] | None = None,
    *,
    key: str | None = None,
    data_format: DataFormat | None = None,
    include_top: bool = True,
    recipe: Recipe | None = None,
) -> Checkpoint:
    """The checkpoint that is meant.

    Args:
        weights: a published set's name (``vgg16 weights list``), a file of any format, or a
            checkpoint, which is returned as it is. A published set's file is fetched unless it is
            in the cache; its recipe and licence become the checkpoint's, and a classifier that it
            lacks is left out.
        progress: called with the bytes so far and the total while a file is fetched.
        key: the path or prefix of one of several sets of weights in a file.
        data_format: the order of a Keras model's maps at fc1, for a file that does not say.
        include_top: whether the classifier is wanted; without it, any head is ignored.
        recipe: the preprocessing of a file's weights, in place of what the file states.

    Raises ``BadInput`` for a file that cannot be used or fetched, and for an unknown name.
    """
    return open_chosen(weights, Choices(key, data_format, include_top, recipe), progress)


def open_chosen(
    weights: Weights,
    choices: Choices,
    progress: Callable[[int, int | None], None] | None = None,
) -> Checkpoint:
    """`open_weights`, with what the user decides as one record."""
    if isinstance(weights, Checkpoint):
        return weights if choices.include_top else _without_top(weights)
    if (record := published_record(weights)) is not None:
        path = fetch(record, progress)
        wanted = Choices(include_top=choices.include_top)
        return _described(read_chosen(path, record.file_format, wanted), record)
    path = file_named(Path(weights))
    if isinstance(weights, str) and _like_a_name(weights) and not path.exists():
        expected = f"a weights file, or one of {', '.join(pretrained.PUBLISHED)}"
        raise BadInput(weights, "no such file, and no published weights of that name", expected)
    return read_chosen(path, None, choices)


def checkpoint_for(weights: Weights, network: Configuration) -> Checkpoint:
    """The checkpoint for a model of this network, without its classifier where the model has none.

    A network without a classifier takes the convolutions of a file, whatever its head.

    Raises ``BadInput`` for the weights of another configuration; for a network with a classifier
    where the weights have none, or one of another number of classes: leaving it out is a choice.
    """
    checkpoint = open_weights(weights, include_top=network.include_top)
    found = checkpoint.configuration
    if found.name != network.name:
        problem = f"holds configuration {found.name}"
        raise BadInput(checkpoint.label, problem, f"configuration {network.name}")
    if not network.include_top:
        return checkpoint
    if not found.include_top:
        problem = "has no classifier"
        raise BadInput(checkpoint.label, problem, "include_top=False for the features alone")
    if found.classes != network.classes:
        raise BadInput(
            checkpoint.label,
            f"has {counted(found.classes, 'class', 'classes')}, the network {network.classes}",
            f"classes={found.classes}, or a new head by choice: include_top=False, "
            "or load_checkpoint(model, checkpoint, drop_head=True)",
        )
    return checkpoint


def _without_top(checkpoint: Checkpoint) -> Checkpoint:
    return checkpoint.without_top() if checkpoint.configuration.include_top else checkpoint


def _described(checkpoint: Checkpoint, record: Published) -> Checkpoint:
    """The checkpoint with what its publisher says of it."""
    if record.features_only:
        checkpoint = _without_top(checkpoint)
    metadata: Metadata = replace(
        checkpoint.metadata.with_recipe(record.recipe), source=record.url, licence=record.licence
    )
    label = record.name + (f" ({record.features_only})" if record.features_only else "")
    return checkpoint.replaced(metadata=metadata, label=label, is_recipe_assumed=False)


def _like_a_name(weights: str) -> bool:
    """Whether it looks like a mistyped name rather than a file's: no folder, no ending."""
    return Path(weights).name == weights and not Path(weights).suffix

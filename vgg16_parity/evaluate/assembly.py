"""From data set to evaluation: compute, count, explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

from vgg16_parity.evaluate import explain, statistics
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.logits_check import check_logits
from vgg16_parity.evaluate.measured import Measured, MeasuredRuntime
from vgg16_parity.evaluate.published import published_figures
from vgg16_parity.evaluate.records import Evaluation, LogitsCheck, RuntimeAccuracy
from vgg16_parity.evaluate.statistics import Statistics
from vgg16_parity.workspace import Progress
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.views import Views


class Found(NamedTuple):
    """An evaluation, and what is known of every image."""

    evaluation: Evaluation
    statistics: Statistics


def assemble(
    dataset: Dataset,
    checkpoint: Checkpoint,
    measured: Measured,
    *,
    views: Views | None = None,
    most_explained: int = explain.MOST,
    compare_published: bool = False,
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> Found:
    """Count right answers, compare the runtimes, and explain where they disagree.

    Args:
        dataset: what was evaluated.
        checkpoint: by these weights.
        measured: what every runtime computed of it.
        views: what of each picture; None for the recipe's centre crop.
        most_explained: how many disputed images the arbiter judges; with 0 it judges nothing.
        compare_published: whether to list what others publish for these weights.
        timeout: seconds that a runtime may take to compute its layers of disputed images.
        progress: called with the name of each stage.

    Raises:
        BadInput: a file of logits is damaged, or an image cannot be read any more.
    """
    done = [entry for entry in measured.runtimes if entry.status == "measured"]
    with progress("statistics"):
        found = statistics.measure(
            {entry.name: entry.blocks() for entry in done},
            [item.label for item in measured.items],
            [item.name for item in measured.items],
            checkpoint.class_names,
        )
    checks: Mapping[str, LogitsCheck] = {}
    if most_explained:
        checks = check_logits(checkpoint, measured, views=views, timeout=timeout, progress=progress)
    disputes = explain.explain(
        checkpoint,
        measured,
        found,
        most=most_explained,
        views=views,
        timeout=timeout,
        progress=progress,
    )
    evaluation = Evaluation(
        dataset=dataset.label,
        kind=dataset.kind,
        images=len(measured.items),
        labelled=sum(item.label is not None for item in measured.items),
        mapping=dataset.mapping,
        duplicates=dataset.duplicates,
        unreadable=(*dataset.unreadable, *measured.unreadable),
        weights=checkpoint.label,
        weights_sha256=measured.weights_sha256,
        recipe=checkpoint.recipe.name,
        view="centre crop" if views is None else str(views),
        class_names=checkpoint.class_names,
        runtimes=_completed(measured.runtimes, found.runtimes, checks),
        pairs=found.pairs,
        disputes=disputes,
        published=(
            published_figures(checkpoint.configuration, checkpoint.metadata)
            if compare_published
            else ()
        ),
        decode_seconds=measured.decode_seconds,
        seconds=measured.seconds,
    )
    return Found(evaluation, found)


def _completed(
    measured: Sequence[MeasuredRuntime],
    accuracies: Sequence[RuntimeAccuracy],
    checks: Mapping[str, LogitsCheck],
) -> tuple[RuntimeAccuracy, ...]:
    """Every runtime asked for, with its accuracy where it has one."""
    known = {accuracy.name: accuracy for accuracy in accuracies}
    return tuple(
        replace(
            known.get(entry.name, RuntimeAccuracy(entry.name, entry.status)),
            status=entry.status,
            reason=entry.reason,
            logits=checks.get(entry.name),
            images=sum(entry.counts),
            images_per_second=entry.images_per_second,
            peak_bytes=entry.peak_bytes,
            versions=entry.versions,
            flags=entry.flags,
        )
        for entry in measured
    )

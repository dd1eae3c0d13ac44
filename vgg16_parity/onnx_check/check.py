"""Whether an ONNX file, whoever exported it, is the network that a checkpoint describes.

Three stages: the graph is compared with the architecture, its weights with the checkpoint's by
value, and ONNX Runtime's outputs with the arbiter's. The first two locate a mistake; the third
measures what other weights or fewer bits do. A graph that is not the network's is not run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from PIL.Image import Image

from export.load import open_model
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.expectations import ArbiterTap
from onnx_arbiter.models.onnx_file import printable
from vgg16_parity.judge import diagnosis
from vgg16_parity.judge.known_outputs import LOGITS
from vgg16_parity.network import prediction
from vgg16_parity.onnx_check import accuracy, graph, running, weights
from vgg16_parity.onnx_check.accuracy import Accuracy
from vgg16_parity.onnx_check.preprocessing import Front
from vgg16_parity.onnx_check.walk import TracedGraph, follow
from vgg16_parity.onnx_check.weights import Weight
from vgg16_parity.report.json import encode
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import (
    Recipe,
    pixels,
    preprocess,
    read_image,
)
from vgg16_spec.logits import softmax

SCHEMA: Final = "vgg16-check/2"
DOES_NOT_RUN: Final = "ONNX Runtime does not run it"
NOT_RUN: Final = "not run, since it has loops or branches, which the network lacks"
NOT_THE_NETWORK: Final = "not run, since the graph is not the network's"


@dataclass(frozen=True)
class Graph:
    """The first stage: the graph beside the architecture.

    Attributes:
        layout: of the images, ``nchw`` or ``nhwc``.
        input: ``float32`` for preprocessed images, ``pixels`` where the graph preprocesses them,
            ``pictures`` where it resizes and crops them too.
        output: ``logits`` or ``probabilities``.
        problems: each difference from the checkpoint's network, with the node's name.
        passed: whether there is none.
    """

    layout: str
    input: str
    output: str
    problems: tuple[str, ...]
    passed: bool


@dataclass(frozen=True)
class Numbers:
    """The third stage: ONNX Runtime's outputs beside the arbiter's.

    Attributes:
        verdict: the comparison; ``None`` where the file does not run, and for a graph that is not
            run: one with loops or branches, or that differs from the network in more than bits.
        reason: why it did not pass; empty where it did.
        passed: whether the outputs are within the limits.
        mistake: the known mistake under which they would be; empty where none is known.
    """

    verdict: Verdict | None
    reason: str
    passed: bool
    mistake: str = ""


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        matches: whether every stage passed.
        file: the ONNX file's name.
        checkpoint: the checkpoint's label.
        configuration: the name of the checkpoint's configuration.
        images: the names of the picture files.
        graph: the first stage.
        weights: the second, for each of the checkpoint's tensors in its order.
        numbers: the third.
        accuracy: of a file whose weights have fewer bits; ``None`` for float32, and where it does
            not run.
    """

    matches: bool
    file: str
    checkpoint: str
    configuration: str
    images: tuple[str, ...]
    graph: Graph
    weights: tuple[Weight, ...]
    numbers: Numbers
    accuracy: Accuracy | None = None


def check_model(
    path: str | os.PathLike[str],
    checkpoint: Checkpoint,
    images: Sequence[Path],
    *,
    progress: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> CheckReport:
    """Compare an ONNX file with the network that a checkpoint describes.

    Args:
        path: the ONNX file.
        checkpoint: with its classifier; its recipe prepares the pictures.
        images: picture files, at least one.
        progress: called with the name of each stage, and entered while it is under way.

    Raises:
        BadInput: for an invalid ONNX model, a picture that cannot be read or none at all, a
            checkpoint without its classifier, and where ONNX Runtime is not installed.
    """
    checkpoint.check_top()
    recipe = checkpoint.recipe
    if not images:
        raise BadInput("images", "none given", "at least one picture")
    pictures = [read_image(image) for image in images]
    configuration = checkpoint.configuration
    size = configuration.input_size
    with progress("graph"):
        model = open_model(path)
        found = follow(model, configuration, recipe)
        problems = tuple(graph.problems(found, configuration))
    with progress("weights"):
        compared = tuple(weights.compare(found, checkpoint))
    with progress("arbiter (NumPy, float64)"):
        batch = np.concatenate([preprocess(picture, recipe, size=size) for picture in pictures])
        expected, deviation, fewest = prediction.expect_logits(checkpoint, batch)
    if found.kind == "probabilities":
        logits, expected = expected, softmax(expected)
        deviation = prediction.through_softmax(logits, deviation, expected).astype(np.float32)
    taken = [_as_taken(found.front, picture, recipe, size) for picture in pictures]
    arbiter = ArbiterTap(expected, relu=False, accumulated=deviation, local=deviation)
    with progress("ONNX Runtime"):
        if graph.differs_in_bits_alone(found, configuration):
            outputs, numbers = _numbers(Path(path), model, found, taken, arbiter, fewest)
        else:
            outputs, numbers = None, Numbers(None, NOT_THE_NETWORK, passed=False)
    equal = not any(weight.problem for weight in compared)
    cost, precision = None, accuracy.precision_of(model)
    if outputs is not None and precision and outputs.shape == expected.shape:
        cost = accuracy.measure(precision, outputs, expected)
    if outputs is not None and not numbers.passed and found.kind == "logits":
        with progress("known mistakes"):
            mistake = diagnosis.diagnose(
                checkpoint, batch, {LOGITS: outputs}, {LOGITS: arbiter}, outputs_only=not equal
            )
        numbers = replace(numbers, mistake=mistake)
    return CheckReport(
        matches=not problems and equal and numbers.passed,
        file=Path(path).name,
        checkpoint=checkpoint.label,
        configuration=configuration.name,
        images=tuple(image.name for image in images),
        graph=Graph(found.front.layout, found.front.kind, found.kind, problems, not problems),
        weights=compared,
        numbers=numbers,
        accuracy=cost,
    )


def _numbers(
    path: Path,
    model: ir.Model,
    found: TracedGraph,
    taken: Sequence[NDArray[Any]],
    arbiter: ArbiterTap,
    fewest: Sequence[float],
) -> tuple[NDArray[Any] | None, Numbers]:
    """The outputs, if the file runs, and the third stage.

    What computes with fewer bits is followed no further: behind it a graph may have anything.
    """
    if any(map(running.has_subgraph, model.graph.all_nodes())):
        return None, Numbers(None, NOT_RUN, passed=False)
    try:
        outputs = running.run(path, model, found, taken)
        verdict = compare_with_arbiter(
            outputs, arbiter.preactivation, arbiter.accumulated, independent=fewest.__getitem__
        )
    except BadInput:
        raise
    except (TypeError, ValueError) as error:
        reason = f"{DOES_NOT_RUN} ({printable(str(error))})"
        return None, Numbers(None, reason, passed=False)
    return outputs, Numbers(verdict, verdict.reason, verdict.passed)


def to_json(report: CheckReport) -> dict[str, Any]:
    """The report as a JSON document; numbers that JSON cannot hold are null."""
    return {"schema": SCHEMA, **encode(report)}


def _as_taken(front: Front, picture: Image, recipe: Recipe, size: int) -> NDArray[Any]:
    """A picture as the graph takes it, a batch of one, in the type that it takes.

    A graph that resizes gets pictures that already have the resized size: ONNX's filter is not
    Pillow's, and leaves these as they are.
    """
    if front.kind == "float32":
        values = preprocess(picture, recipe, size=size, layout=front.layout)
        kind = front.images.dtype or ir.DataType.FLOAT
        return values.astype(kind.numpy(), copy=False) if kind.is_floating_point() else values
    return front.take(pixels(picture, recipe, size=size, crop=front.kind != "pictures"))

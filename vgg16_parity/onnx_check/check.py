"""Whether an ONNX file, whoever exported it, is the network that a checkpoint describes.

Three independent stages: the graph is compared with the architecture, its weights with the
checkpoint's by value, and ONNX Runtime's outputs with the arbiter's. The first two locate a
mistake; the third measures its effect.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from PIL.Image import Image

from export.load import open_model, printable
from export.session import open_session
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.limits import LIMITS
from vgg16_parity.network import prediction
from vgg16_parity.onnx_check import graph, weights
from vgg16_parity.onnx_check.symbolic import SymbolicTensor
from vgg16_parity.onnx_check.walk import TracedGraph, follow
from vgg16_parity.onnx_check.weights import Weight
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import (
    Recipe,
    normalise,
    pixels,
    preprocess,
    read_image,
    recipe_named,
    resized_side,
)
from vgg16_spec.logits import softmax

SCHEMA: Final = "vgg16-check/2"

# Called with the name of a stage; shown while the stage is under way.
Progress = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class Graph:
    """The first stage: the graph beside the architecture.

    Attributes:
        layout: of the images, ``nchw`` or ``nhwc``.
        input: ``float32`` for preprocessed images, ``pixels`` where the graph preprocesses them,
            ``pictures`` where it resizes and crops them too.
        output: ``logits`` or ``probabilities``.
        problems: each difference from the checkpoint's network, with the node's name.
    """

    layout: str
    input: str
    output: str
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the graph is the network's."""
        return not self.problems


@dataclass(frozen=True)
class Numbers:
    """The third stage: ONNX Runtime's outputs beside the arbiter's.

    Attributes:
        verdict: the comparison; ``None`` where the file does not run.
        reason: why it did not pass; empty where it did.
    """

    verdict: Verdict | None
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the outputs are within the limits."""
        return self.verdict is not None and self.verdict.passed


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        file: the ONNX file's name.
        checkpoint: the checkpoint's label.
        configuration: the name of the checkpoint's configuration.
        images: the names of the picture files.
        graph: the first stage.
        weights: the second, for each of the checkpoint's tensors in its order.
        numbers: the third.
    """

    file: str
    checkpoint: str
    configuration: str
    images: tuple[str, ...]
    graph: Graph
    weights: tuple[Weight, ...]
    numbers: Numbers

    @property
    def matches(self) -> bool:
        """Whether every stage passed."""
        equal = bool(self.weights) and not any(weight.problem for weight in self.weights)
        return self.graph.passed and equal and self.numbers.passed


def check_model(
    path: str | os.PathLike[str],
    checkpoint: Checkpoint,
    images: Sequence[Path],
    *,
    progress: Progress = nullcontext,
) -> CheckReport:
    """Compare an ONNX file with the network that a checkpoint describes.

    Args:
        path: the ONNX file.
        checkpoint: with its classifier; its recipe prepares the pictures.
        images: picture files, at least one.
        progress: called with the name of each stage.

    Raises:
        BadInput: for an invalid ONNX model, a picture that cannot be read or none at all, a
            checkpoint without its classifier, and where ONNX Runtime is not installed.
    """
    checkpoint.check_top()
    recipe = recipe_named(checkpoint.metadata.recipe, checkpoint.label)
    if not images:
        raise BadInput("images", "none given", "at least one picture")
    pictures = [read_image(image) for image in images]
    configuration = checkpoint.configuration
    size = configuration.input_size
    with progress("graph"):
        model = open_model(path)
        found = follow(model, size, resized_side(recipe, size), configuration.classes)
        problems = graph.problems(found, configuration, recipe)
    with progress("weights"):
        whole = isinstance(found.end, SymbolicTensor)
        compared = weights.compare(found.end.steps, checkpoint, whole=whole)
    with progress("arbiter (NumPy, float64)"):
        batch = np.concatenate([preprocess(picture, recipe, size=size) for picture in pictures])
        arbiter = prediction.predict_logits(checkpoint, batch)
    output = graph.output_kind(found.end.steps)
    taken = [_as_taken(found, picture, recipe, size) for picture in pictures]
    with progress("ONNX Runtime"):
        numbers = _numbers(Path(path), found, taken, arbiter, output)
    return CheckReport(
        file=Path(path).name,
        checkpoint=checkpoint.label,
        configuration=configuration.name,
        images=tuple(image.name for image in images),
        graph=Graph(found.layout, graph.input_kind(found), output, problems),
        weights=compared,
        numbers=numbers,
    )


def to_json(report: CheckReport) -> dict[str, Any]:
    """The report as a JSON document; numbers that JSON cannot hold are null."""
    document: dict[str, Any] = {"schema": SCHEMA, "matches": report.matches} | asdict(report)
    document["graph"]["passed"] = report.graph.passed
    document["numbers"]["passed"] = report.numbers.passed
    verdict = document["numbers"]["verdict"] or {}
    for name, value in verdict.items():
        if isinstance(value, float) and not math.isfinite(value):
            verdict[name] = None
    return document


def lines(report: CheckReport) -> list[str]:
    """The report as text: one line for each stage that passed, or for each problem of a stage."""
    stages = [f"graph: {problem}" for problem in report.graph.problems]
    if not stages:
        kinds = [report.graph.layout.upper(), report.graph.output]
        inside = {"pixels": ["preprocessing inside"], "pictures": ["preprocessing, resize inside"]}
        kinds += inside.get(report.graph.input, [])
        stages = [f"graph: as the checkpoint's network ({', '.join(kinds)})"]
    wrong = [weight for weight in report.weights if weight.problem]
    equal = len(report.weights) - len(wrong)
    stages.append(f"weights: {equal} of {len(report.weights)} equal")
    reached = [weight for weight in wrong if weight.problem != weights.NOT_REACHED]
    if unseen := len(wrong) - len(reached):
        stages.append(f"weights: {unseen} not compared, behind what the graph has there")
    for weight in reached:
        called = f" ({weight.initializer})" if weight.initializer else ""
        stages.append(f"weights: {weight.tensor}{called}: {weight.problem}")
    verdict = report.numbers.verdict
    if verdict is None or not math.isfinite(verdict.ratio):
        return [*stages, f"numbers: {report.numbers.reason}"]
    return [
        *stages,
        f"numbers: errors are {verdict.ratio:.2g} times the predicted size, the largest "
        f"{verdict.deviations:.2g} standard deviations "
        f"(limits {LIMITS.ratio.limit:g} and {LIMITS.deviations.limit:g})",
    ]


def _as_taken(found: TracedGraph, picture: Image, recipe: Recipe, size: int) -> NDArray[Any]:
    """A picture as the graph takes it, a batch of one.

    A graph that resizes gets pictures that already have the resized size: ONNX's filter is not
    Pillow's, and leaves these as they are.
    """
    kind = graph.input_kind(found)
    values: NDArray[Any] = pixels(picture, recipe, size=size, crop=kind != "pictures")
    if kind == "float32":
        return normalise(values, recipe, layout=found.layout)
    if found.layout == "nchw":
        values = values.transpose(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    return values.astype(np.float32) if found.dtype == ir.DataType.FLOAT else values


def _numbers(
    path: Path,
    found: TracedGraph,
    inputs: Sequence[NDArray[Any]],
    arbiter: tuple[NDArray[np.float64], NDArray[np.float32]],
    output: str,
) -> Numbers:
    try:
        values = _run(path, found, inputs)
    except BadInput:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        return Numbers(None, f"ONNX Runtime does not run it ({printable(str(error))})")
    expected, deviation = arbiter
    if output == "probabilities":
        logits, expected = expected, softmax(expected)
        deviation = prediction.through_softmax(logits, deviation, expected).astype(np.float32)
    verdict = compare_with_arbiter(values, expected, deviation)
    return Numbers(verdict, verdict.reason)


def _run(path: Path, found: TracedGraph, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The output for each image, (images, classes); a fixed batch repeats the image."""
    session = open_session(path)
    from onnxruntime import RunOptions

    options = RunOptions()
    options.log_severity_level = 4  # the report shows a failure
    outputs = []
    for image in inputs:
        batch = np.repeat(image, found.batch or 1, axis=0)
        (values,) = session.run([found.output], {found.images: batch}, options)
        outputs.append(np.asarray(values)[:1])
    return np.concatenate(outputs)

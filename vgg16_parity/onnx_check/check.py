"""Whether an ONNX file, whoever exported it, is the network that a checkpoint describes.

Three stages, each on its own: the graph is compared with the architecture, its weights with the
checkpoint's by value, and what ONNX Runtime makes of pictures with the arbiter. The first two say
where a wrong file goes wrong; the third says how far off that takes it.
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

from export.load import open_model, printable
from export.session import open_session
from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.limits import LIMITS
from vgg16_parity import inputs
from vgg16_parity.network import prediction
from vgg16_parity.onnx_check import graph, weights
from vgg16_parity.onnx_check.symbolic import SymbolicTensor
from vgg16_parity.onnx_check.walk import TracedGraph, follow
from vgg16_parity.onnx_check.weights import Weight
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import (
    normalise,
    pixels,
    read_image,
    recipe_named,
    resized_side,
)
from vgg16_spec.logits import softmax

SCHEMA: Final = "vgg16-check/2"

# Shown while a stage that takes its time is under way.
Progress = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class Graph:
    """What the graph is.

    Attributes:
        layout: of the images, ``nchw`` or ``nhwc``.
        input: ``float32`` for preprocessed images, ``pixels`` where the graph preprocesses them,
            ``pictures`` where it resizes and crops them too.
        output: ``logits`` or ``probabilities``.
        problems: what is not as in the checkpoint's network, each with the node's name.
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
    """What ONNX Runtime computes, beside the arbiter.

    Attributes:
        verdict: the comparison; ``None`` where the file does not run.
        reason: why it did not pass; empty where it did.
    """

    verdict: Verdict | None
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the outputs are near enough."""
        return self.verdict is not None and self.verdict.passed


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        file: the ONNX file's name.
        checkpoint: what the checkpoint is called.
        configuration: the checkpoint's.
        images: the names of the picture files that the numbers are of.
        graph: the first stage.
        weights: the second, each of the checkpoint's tensors in its order.
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

    Raises ``BadInput`` for a file that is no valid ONNX model, a picture that cannot be read, a
    checkpoint without its classifier, and where ONNX Runtime is not installed.
    """
    batch = inputs.pictures(checkpoint, images).images
    recipe = recipe_named(checkpoint.metadata.recipe, checkpoint.label)
    configuration = checkpoint.configuration
    with progress("graph"):
        model = open_model(path)
        size = configuration.input_size
        found = follow(model, size, resized_side(recipe, size), configuration.classes)
        problems = graph.problems(found, configuration, recipe)
    with progress("weights"):
        whole = isinstance(found.end, SymbolicTensor)
        compared = weights.compare(found.end.steps, checkpoint, whole=whole)
    with progress("arbiter (NumPy, float64)"):
        arbiter = prediction.predict_logits(checkpoint, batch)
    taken = [_as_taken(found, image, checkpoint) for image in images]
    output = graph.output_kind(found.end.steps)
    with progress("ONNX Runtime"):
        numbers = _numbers(Path(path), found, taken, arbiter, output)
    return CheckReport(
        file=Path(path).name,
        checkpoint=checkpoint.label,
        configuration=configuration.name,
        images=tuple(image.name for image in images),
        graph=Graph(found.layout, _kind_of_input(found), output, problems),
        weights=compared,
        numbers=numbers,
    )


def to_json(report: CheckReport) -> dict[str, Any]:
    """The report as a JSON document; numbers that JSON cannot hold are null."""
    verdict = report.numbers.verdict
    values = {} if verdict is None else asdict(verdict)
    return {
        "schema": SCHEMA,
        "matches": report.matches,
        "file": report.file,
        "checkpoint": report.checkpoint,
        "configuration": report.configuration,
        "images": list(report.images),
        "graph": {"passed": report.graph.passed}
        | asdict(report.graph)
        | {"problems": list(report.graph.problems)},
        "weights": [asdict(weight) for weight in report.weights],
        "numbers": {
            "passed": report.numbers.passed,
            "reason": report.numbers.reason,
            "verdict": {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in values.items()
            }
            or None,
        },
    }


def lines(report: CheckReport) -> list[str]:
    """The report in words: a line for each stage that passed, one for each problem of another."""
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


def _kind_of_input(found: TracedGraph) -> str:
    if graph.takes_pictures(found):
        return "pictures"
    return "pixels" if graph.takes_pixels(found) else "float32"


def _as_taken(found: TracedGraph, image: Path, checkpoint: Checkpoint) -> NDArray[Any]:
    """A picture as the graph takes it, a batch of one.

    A graph that resizes is given pictures of the size that it would resize them to: its filter is
    ONNX's and not Pillow's, and may leave them as they are.
    """
    recipe = recipe_named(checkpoint.metadata.recipe, checkpoint.label)
    size = checkpoint.configuration.input_size
    crop = not graph.takes_pictures(found)
    values: NDArray[Any] = pixels(read_image(image), recipe, size=size, crop=crop)
    if not graph.takes_pixels(found):
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
    except Exception as error:  # whatever ONNX Runtime raises for what it does not run
        return Numbers(None, f"ONNX Runtime does not run it ({printable(str(error))})")
    expected, deviation = arbiter
    if output == "probabilities":
        logits, expected = expected, softmax(expected)
        deviation = prediction.through_softmax(logits, deviation, expected).astype(np.float32)
    verdict = compare_with_arbiter(values, expected, deviation)
    return Numbers(verdict, verdict.reason)


def _run(path: Path, found: TracedGraph, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The output for every image, (images, classes); a fixed batch is filled with the same one."""
    session = open_session(path)
    from onnxruntime import RunOptions

    options = RunOptions()
    options.log_severity_level = 4  # what fails is in the report
    outputs = []
    for image in inputs:
        batch = np.repeat(image, found.batch or 1, axis=0)
        (values,) = session.run([found.output], {found.images: batch}, options)
        outputs.append(np.asarray(values)[:1])
    return np.concatenate(outputs)

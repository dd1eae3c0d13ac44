"""The files beside the graph in a bundle: labels, metadata, test data, Triton's configuration.

The bundle is a model folder of Triton Inference Server: ``config.pbtxt``, and the model in the
folder of its version. Triton ignores the other files and folders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.bundle.metadata import sizes, stated
from export.constants import BATCH, HEIGHT, MODEL_FILE, TEST_DATA, WIDTH
from export.options import Options
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS, Photograph
from vgg16_spec.images.preprocessing import (
    RECIPES,
    Layout,
    pixels,
    preprocess,
    read_image,
    resized_side,
)
from vgg16_spec.labels import class_name

_LARGEST_BATCH: Final = 32
_ANY_SIDE: Final = {BATCH: 1, HEIGHT: 224, WIDTH: 224}
_TRITON_TYPES: Final = {
    ir.DataType.FLOAT: "TYPE_FP32",
    ir.DataType.FLOAT16: "TYPE_FP16",
    ir.DataType.UINT8: "TYPE_UINT8",
}


def write(folder: Path, model: ir.Model, checkpoint: Checkpoint, options: Options) -> None:
    """Write the files beside the graph into a bundle's folder, which holds graph and weights.

    Raises:
        BadInput: where test data are wanted and ONNX Runtime is not installed.
    """
    if checkpoint.configuration.include_top:
        classes = checkpoint.configuration.classes
        _write_json(folder / "labels.json", [class_name(i, classes) for i in range(classes)])
    _write_json(folder / "metadata.json", stated(model))
    if options.test_data:
        _write_test_data(folder, model, checkpoint, options)
    for name in ("config.pbtxt", "README.md"):
        text = _render(name, model, checkpoint, options)
        (folder / name).write_text(text, encoding="utf-8")


def example(
    checkpoint: Checkpoint, options: Options, photograph: Photograph = PHOTOGRAPHS[0]
) -> NDArray[Any]:
    """One of the project's photographs as the exported graph's images, repeated to its batch."""
    recipe, size = RECIPES[checkpoint.metadata.recipe], checkpoint.configuration.input_size
    picture = read_image(photograph.path)
    images: NDArray[Any]
    if options.resize:
        images = np.asarray(picture)[np.newaxis]
    elif options.input == "uint8":
        images = pixels(picture, recipe, size=size)
    else:
        layout: Layout = "nhwc" if options.channels_last else "nchw"
        images = preprocess(picture, recipe, size=size, layout=layout)
    return np.repeat(images, options.batch or 1, axis=0)


def _write_json(path: Path, document: Any) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_test_data(
    folder: Path, model: ir.Model, checkpoint: Checkpoint, options: Options
) -> None:
    """One input and ONNX Runtime's outputs for it, laid out as in ONNX's own tests."""
    from onnx import numpy_helper

    from export.session import open_session

    (images,) = model.graph.inputs
    inputs = {str(images.name): example(checkpoint, options)}
    outputs = open_session(folder / MODEL_FILE, threads=1).run(None, inputs)
    data = folder / TEST_DATA
    data.mkdir()
    names = [value.name for value in model.graph.outputs]
    for kind, values in (
        ("input", inputs.items()),
        ("output", zip(names, outputs, strict=True)),
    ):
        for index, (name, array) in enumerate(values):
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), str(name))
            (data / f"{kind}_{index}.pb").write_bytes(tensor.SerializeToString(deterministic=True))


def _triton_edge(values: Sequence[ir.Value], options: Options) -> list[dict[str, Any]]:
    """Inputs or outputs in Triton's configuration; a free batch is not among their axes."""
    first = 0 if options.batch else 1
    return [
        {
            "name": value.name,
            "type": _TRITON_TYPES[value.dtype],
            "dims": [size if isinstance(size, int) else -1 for size in sizes(value)][first:],
        }
        for value in values
        if value.dtype is not None
    ]


def _render(template: str, model: ir.Model, checkpoint: Checkpoint, options: Options) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("export.bundle"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    (images,) = model.graph.inputs
    recipe, size = RECIPES[checkpoint.metadata.recipe], checkpoint.configuration.input_size
    return environment.get_template(f"{template}.j2").render(
        configuration=checkpoint.configuration,
        metadata=checkpoint.metadata,
        options=options,
        recipe=recipe,
        shorter=resized_side(recipe, size),
        images={"name": images.name, "shape": sizes(images)},
        shape=tuple(s if isinstance(s, int) else _ANY_SIDE[str(s)] for s in sizes(images)),
        output=model.graph.outputs[-1].name,
        edges={
            "input": _triton_edge(model.graph.inputs, options),
            "output": _triton_edge(model.graph.outputs, options),
        },
        largest_batch=_LARGEST_BATCH,
        test_data=TEST_DATA,
    )

"""The files beside the graph in a bundle: labels, metadata, test data, Triton's configuration.

The bundle is a model folder of Triton Inference Server: ``config.pbtxt``, and the model in the
folder of its version. Triton ignores the other files and folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from onnx import numpy_helper

from export.constants import BATCH, HEIGHT, MODEL_FILE, TEST_DATA, WIDTH
from export.options import Options
from export.session import open_session
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS, Photograph
from vgg16_spec.images.preprocessing import normalise, pixels, read_image, resized_side
from vgg16_spec.text import json_text, markdown_code

_LARGEST_BATCH: Final = 32
_ANY_SIDE: Final = {BATCH: 1, HEIGHT: 224, WIDTH: 224}
_TRITON_TYPES: Final = {"FLOAT": "TYPE_FP32", "FLOAT16": "TYPE_FP16", "UINT8": "TYPE_UINT8"}


def write(folder: Path, document: dict[str, Any], checkpoint: Checkpoint, options: Options) -> None:
    """Write the files beside the graph into a bundle's folder, which holds graph and weights.

    ``document`` is the graph's metadata.

    Raises:
        BadInput: where test data are wanted and ONNX Runtime is not installed.
    """
    if checkpoint.configuration.include_top:
        write_json(folder / "labels.json", checkpoint.class_names)
    write_json(folder / "metadata.json", document)
    if options.test_data:
        _write_test_data(folder, example(checkpoint, options))
    environment = Environment(
        loader=PackageLoader("export.bundle"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = markdown_code
    facts = _facts(document, checkpoint, options)
    for name in ("config.pbtxt", "README.md"):
        text = environment.get_template(f"{name}.j2").render(facts)
        (folder / name).write_text(text, encoding="utf-8")


def example(
    checkpoint: Checkpoint, options: Options, photograph: Photograph = PHOTOGRAPHS[0]
) -> NDArray[Any]:
    """One of the project's photographs as the exported graph's images, repeated to its batch."""
    recipe, size = checkpoint.recipe, checkpoint.configuration.input_size
    picture = read_image(photograph.path)
    images: NDArray[Any]
    if options.resize:
        images = np.asarray(picture)[np.newaxis]
    else:
        images = pixels(picture, recipe, size=size, crop=not options.dense)
        if options.input != "uint8":
            images = normalise(images, recipe, layout=options.layout or "nchw")
    return np.repeat(images, options.batch or 1, axis=0)


def write_json(path: Path, document: Any) -> None:
    """Write a document for people and programs."""
    path.write_text(json_text(document) + "\n", encoding="utf-8")


def _write_test_data(folder: Path, images: NDArray[Any]) -> None:
    """One input and ONNX Runtime's outputs for it, laid out as in ONNX's own tests."""
    session = open_session(folder / MODEL_FILE, threads=1)
    (given,) = session.get_inputs()
    outputs = session.run(None, {given.name: images})
    data = folder / TEST_DATA
    data.mkdir()
    for kind, values, arrays in (
        ("input", [given], [images]),
        ("output", session.get_outputs(), outputs),
    ):
        for index, (value, array) in enumerate(zip(values, arrays, strict=True)):
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), value.name)
            (data / f"{kind}_{index}.pb").write_bytes(tensor.SerializeToString(deterministic=True))


def _facts(document: dict[str, Any], checkpoint: Checkpoint, options: Options) -> dict[str, Any]:
    """What the templates say."""
    recipe, (images,) = checkpoint.recipe, document["inputs"]
    return {
        "configuration": checkpoint.configuration,
        "metadata": checkpoint.metadata,
        "options": options,
        "recipe": recipe,
        "shorter": resized_side(recipe, checkpoint.configuration.input_size),
        "images": images,
        "shape": tuple(_ANY_SIDE.get(size, size) for size in images["shape"]),
        "output": document["outputs"][-1]["name"],
        "edges": {"input": document["inputs"], "output": document["outputs"]},
        "triton_types": _TRITON_TYPES,
        "largest_batch": _LARGEST_BATCH,
        "test_data": TEST_DATA,
    }

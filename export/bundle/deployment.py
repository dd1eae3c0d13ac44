"""The files beside the graph in a bundle: labels, metadata, test data, Triton's configuration.

The bundle is a model folder of Triton Inference Server: ``config.pbtxt``, and the model in the
folder of its version. Triton ignores the other files and folders.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
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

_README: Final = Template("""# VGG, configuration $configuration

`model.onnx` takes $images and gives `$output`$more.
In this folder, with `pip install onnx onnxruntime`:

```python
$imports
session = onnxruntime.InferenceSession("model.onnx")
images = $source
result = session.run(["$output"], {"images": images})[0]
$use
```

$preparation

| file | is |
|---|---|
| `model.onnx` | the graph; its weights are in `1/weights.safetensors` |
| `1/` | the same graph with the weights beside it; this folder can be moved on its own |
| `config.pbtxt` | makes this folder a model of Triton Inference Server |
$files| `metadata.json` | preprocessing, opset, digests, versions, licence: as in `model.onnx` |

Weights: $origin. Licence: $licence.
""")


def write(folder: Path, model: ir.Model, checkpoint: Checkpoint, options: Options) -> None:
    """Write the files beside the graph into a bundle's folder, which holds graph and weights.

    Raises:
        BadInput: where test data are wanted and ONNX Runtime is not installed.
    """
    if checkpoint.configuration.include_top:
        classes = checkpoint.configuration.classes
        _write_json(folder / "labels.json", [class_name(i, classes) for i in range(classes)])
    _write_json(folder / "metadata.json", stated(model))
    (folder / "config.pbtxt").write_text(_triton(model, options), encoding="utf-8")
    if options.test_data:
        _write_test_data(folder, model, checkpoint, options)
    (folder / "README.md").write_text(_readme(model, checkpoint, options), encoding="utf-8")


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


def _triton(model: ir.Model, options: Options) -> str:
    """Triton's model configuration; Triton assembles a free batch itself."""
    free_batch = options.batch is None

    def block(side: str, values: Any) -> str:
        entries = [
            f'  {{ name: "{value.name}" data_type: {_TRITON_TYPES[value.dtype]} dims: [ '
            + ", ".join(str(s) if isinstance(s, int) else "-1" for s in sizes(value)[free_batch:])
            + " ] }"
            for value in values
        ]
        return f"{side} [\n" + ",\n".join(entries) + "\n]\n"

    return (
        'backend: "onnxruntime"\n'
        f"max_batch_size: {_LARGEST_BATCH if free_batch else 0}\n"
        + block("input", model.graph.inputs)
        + block("output", model.graph.outputs)
        + ("dynamic_batching { }\n" if free_batch else "")
    )


def _readme(model: ir.Model, checkpoint: Checkpoint, options: Options) -> str:
    (images,) = model.graph.inputs
    top = checkpoint.configuration.include_top
    files, imports = "", ["import onnxruntime"]
    if options.test_data:
        imports.insert(0, "import onnx")
        source = f'onnx.numpy_helper.to_array(onnx.load_tensor("{TEST_DATA}/input_0.pb"))'
        files += f"| `{TEST_DATA}/` | a photograph as input, and ONNX Runtime's output |\n"
    else:
        imports.insert(0, "import numpy")
        shape = tuple(s if isinstance(s, int) else _ANY_SIDE[str(s)] for s in sizes(images))
        source = f"numpy.zeros({shape}, {options.input!r})"
    if options.precision != "fp32":
        files += "| `accuracy.json` | the smaller graph beside the float32 one |\n"
    if top:
        imports.insert(0, "import json")
        files += "| `labels.json` | the classes' names, in the order of the output |\n"
    return _README.substitute(
        configuration=checkpoint.configuration.name,
        images=f"`{images.name}`, {options.input} ({', '.join(map(str, sizes(images)))}),",
        output=model.graph.outputs[-1].name,
        more=_more(options),
        imports="\n".join(imports),
        source=source,
        use='print(json.load(open("labels.json"))[result[0].argmax()])'
        if top
        else "print(result.shape)",
        preparation=_preparation(checkpoint, options),
        files=files,
        licence=checkpoint.metadata.licence,
        origin=checkpoint.metadata.source,
    )


def _more(options: Options) -> str:
    words = ", and every layer's output by the layer's name" if options.taps else ""
    if options.precision != "fp32":
        words += f". It computes in {options.precision}; `accuracy.json` has the cost"
    return words


def _preparation(checkpoint: Checkpoint, options: Options) -> str:
    """How a picture becomes the graph's input, as text for the README."""
    recipe, size = RECIPES[checkpoint.metadata.recipe], checkpoint.configuration.input_size
    shorter = resized_side(recipe, size)
    sized = (
        f"Resize a picture's shorter side to {shorter} pixels (Pillow, {recipe.resample.lower()}), "
        f"cut {size} × {size} pixels out of its centre"
    )
    if options.resize:
        return "Images are decoded pictures of any size, RGB, 0 to 255: the graph does the rest."
    if options.features:
        sized = "Take a picture of any size from 32 × 32 pixels"
    if options.input == "uint8":
        return f"{sized} and hand over its RGB pixels, 0 to 255: the graph does the rest."
    return (
        f"{sized}, take its channels in the order {recipe.channels}, divide by {recipe.scale:g}, "
        f"subtract {recipe.mean}, divide by {recipe.std}."
    )

"""The node where a run goes wrong, in a folder of its own that runs without the arbiter.

node.onnx      the node alone; its constants are in it
inputs.npz     what it read, in the graph's types
arbiter.npz    its outputs in float64, and <output>.sigma: the predicted standard deviations
observed.npz   what the runtime computed
run.py         runs it in ONNX Runtime and prints R and Z of both
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Graph
from onnx_arbiter.judge.guilty import Guilty
from onnx_arbiter.judge.run import as_stored
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.numeric_modes import is_float
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_folder

_RUN: Final = '''"""{title}

{sentence}
Needs numpy and onnxruntime.
"""

import numpy as np
import onnxruntime

inputs, arbiter, observed = (np.load(f"{{name}}.npz") for name in ("inputs", "arbiter", "observed"))
session = onnxruntime.InferenceSession("node.onnx", providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
here = dict(zip(names, session.run(names, dict(inputs))))
for name in names:
    shown = name.encode("unicode_escape").decode()
    for whose, values in (("observed", observed), ("ONNX Runtime", here)):
        if name in values and values[name].shape == arbiter[name].shape:
            error = np.abs(values[name].astype(np.float64) - arbiter[name])
            sigma = np.maximum(arbiter[f"{{name}}.sigma"], np.finfo(np.float64).tiny)
            ratio = np.sqrt(np.mean(error**2) / np.mean(sigma**2))
            print(f"{{shown}}, {{whose}}: R {{ratio:.3g}}, Z {{np.max(error / sigma):.3g}}")
'''


def write_repro(folder: str | os.PathLike[str], guilty: Guilty) -> None:
    """Write the node where a run goes wrong into a folder, whole or not at all.

    Where the node is wrong alone, ``sigma`` is that of the node alone, and the observed values are
    those that it gave alone. Else they are those of the whole network.

    Args:
        folder: where to; one that exists is replaced.
        guilty: what `judge` gives to ``on_guilty``.

    Raises:
        BadInput: the node has a subgraph, or the folder cannot be written.
    """
    step, node = guilty.step, guilty.step.node
    if any(isinstance(value, Graph) for value in node.attributes.values()):
        raise BadInput(printable(node.name), "has a subgraph: it is no model of its own")
    read = zip(node.inputs, step.inputs, strict=True)
    known = {name: value for name, value in read if value is not None}
    stored = {name: as_stored(value) for name, value in known.items()}
    constants = {name: stored[name] for name, value in known.items() if value.is_constant}
    inputs = {name: values for name, values in stored.items() if name not in constants}
    types = {name: value.dtype for name, value in step.outputs.items()}
    observed = guilty.alone if guilty.is_local else guilty.observed
    with whole_folder(folder) as made:
        model = model_of([node], types, inputs, constants)
        (made / "node.onnx").write_bytes(model.SerializeToString())
        _save(made / "inputs.npz", _plain(inputs))
        _save(made / "arbiter.npz", _of_arbiter(guilty))
        _save(made / "observed.npz", _plain(observed))
        title = f"{node.operator} {printable(node.name)}, as {printable(guilty.run)} ran it."
        whose = "alone" if guilty.is_local else "after all nodes so far"
        sentence = (
            f"R and Z of its errors {whose}; within rounding, R is at most "
            f"{guilty.limits.ratio.limit:g} and Z at most {guilty.limits.deviations.limit:g}."
        )
        text = _RUN.format(title=_quoted(title), sentence=sentence)
        (made / "run.py").write_text(text, encoding="utf-8")


def _of_arbiter(guilty: Guilty) -> dict[str, Array]:
    """Each output of the node, and the deviations that its errors are predicted to have."""
    found = dict[str, Array]()
    for name, value in guilty.step.outputs.items():
        found[name] = value.values
        if guilty.is_local:
            found[f"{name}.sigma"] = guilty.step.local_deviation(name, guilty.mode)
        else:
            found[f"{name}.sigma"] = value.deviation(guilty.mode)
    return found


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an ``.npz`` file; ``np.savez`` takes some names for its own arguments."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)


def _plain(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays that NumPy's files can have: bfloat16 as float32."""
    return {
        name: values.astype(np.float32)
        if is_float(values.dtype) and values.dtype.kind != "f"
        else values
        for name, values in arrays.items()
    }


def _quoted(text: str) -> str:
    """A text that ends no docstring and starts no escape."""
    return text.replace("\\", "/").replace('"', "'")

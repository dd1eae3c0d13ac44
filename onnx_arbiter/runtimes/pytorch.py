"""PyTorch on the CPU: onnx2pytorch makes a module of the file, an operation of each node."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.runtimes.folding import folded
from onnx_arbiter.runtimes.runtime import Runtime, each_alone, of_file

if TYPE_CHECKING:
    import onnx

_NAME: Final = "PyTorch"


def _run(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    import torch
    from onnx2pytorch import ConvertModel

    # onnx2pytorch takes no weights or biases that nodes compute.
    model = folded(model)
    given = [value.name for value in model.graph.input if value.name in inputs]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # "Experimental" are batches of more than one.
        module = ConvertModel(model, experimental=True).eval()
        # Copies: a module may work in place.
        computed = module(*(torch.from_numpy(np.array(inputs[name])) for name in given))
    outputs = computed if isinstance(computed, list | tuple) else [computed]
    names = [value.name for value in model.graph.output]
    found = zip(names, outputs, strict=True)
    return {name: values.numpy() for name, values in found if name in wanted}


run_node = each_alone(_NAME)(_run)
RUNTIME: Final = Runtime("torch", {"default": of_file(_NAME, _run)}, run_node)

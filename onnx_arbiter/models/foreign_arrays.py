"""Tensors of any framework as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnx_arbiter.graph import Array
from vgg16_spec.errors import BadInput


def array_of(port: str, name: str, values: Any, expected: str) -> Array:
    """Any framework's tensor, or the only one of a tuple or a list, as an array.

    Args:
        port: what gave it, in messages.
        name: of the value.
        values: a tensor, with or without a gradient and on any device.
        expected: what would have been accepted, in messages.

    Raises:
        BadInput: it is no array of numbers, or there are several.
    """
    if isinstance(values, tuple | list) and any(is_tensor(each) for each in values):
        if len(values) > 1:
            problem = f"gave {len(values)} arrays as {name}: which one?"
            raise BadInput(port, problem, expected)
        (values,) = values
    try:
        # PyTorch's tensors: with a gradient, on a GPU, or of a type that NumPy has not.
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            if str(values.dtype) == "torch.bfloat16":
                values = values.float()
        array = np.asarray(values)
    except Exception as error:  # whatever a framework raises for what has no values
        problem = f"gave a {type(values).__name__} as {name}, which is not an array"
        raise BadInput(port, problem, "arrays of numbers, computed eagerly") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind in "OUSM":
        problem = f"gave a {type(values).__name__} as {name}, which is not an array of numbers"
        raise BadInput(port, problem, expected)
    return array


def is_tensor(value: object) -> bool:
    """Whether a value is an array of more than one axis."""
    return len(getattr(value, "shape", ())) > 1

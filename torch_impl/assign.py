"""Values into a module's parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def assign(
    module: nn.Module, values: Mapping[str, NDArray[np.float32]], keys: Mapping[str, str]
) -> None:
    """Give parameters their values, exactly in a float32 module.

    A parameter on the ``meta`` device gets its memory here, on the CPU.

    Args:
        module: whose parameters have the values' shapes.
        values: by canonical tensor name.
        keys: canonical tensor name -> the parameter's name, of those to assign.
    """
    parameters = dict(module.named_parameters())
    for name, key in keys.items():
        # A copy: PyTorch does not take read-only memory.
        tensor = torch.from_numpy(np.array(values[name]))
        if parameters[key].is_meta:
            owner, _, attribute = key.rpartition(".")
            setattr(module.get_submodule(owner), attribute, nn.Parameter(tensor))
        else:
            with torch.no_grad():
                parameters[key].copy_(tensor)

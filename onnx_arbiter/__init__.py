"""A float64 arbiter of any ONNX graph: is a difference rounding or a mistake, and where is it?

It predicts the rounding error of every value in each numeric mode, compares what any program
computed with it, and names the node where that goes wrong.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from onnx_arbiter.arbiter import Arbiter
    from onnx_arbiter.judge.explain import explain
    from onnx_arbiter.judge.records import Report

__all__ = ["Arbiter", "Report", "explain"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arbiter": ["Arbiter"],
        "judge.explain": ["explain"],
        "judge.records": ["Report"],
    },
)

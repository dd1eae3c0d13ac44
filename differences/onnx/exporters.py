"""The graph that each exporter writes for one network."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import onnx

from differences.harness import tiny
from differences.harness.experiment import Claims, Finding
from differences.onnx import exported
from vgg16_spec.architecture import configuration

TITLE: Final = "What the exporters write"
RULE: Final = (
    "Compare exported graphs by what they compute, or in a canonical form, never by their nodes "
    "as written."
)
PACKAGES: Final = ("onnx", "onnxruntime", "onnxscript", "tf2onnx")

_KERAS: Final = (exported.KERAS_TENSORFLOW, exported.KERAS_PYTORCH)
_CANONICAL: Final = {"Conv": 13, "Relu": 15, "MaxPool": 5, "Flatten": 1, "Gemm": 3}


def run() -> Finding:
    """Count the nodes as written, and those of our traces before and after our passes."""
    written = exported.models()
    counts = {name: Counter(_operators(model)) for name, model in written.items()}
    errors = {
        name: tiny.deviations(exported.answer(model, tiny.images()))
        for name, model in written.items()
        if name != exported.PYTORCH  # takes one image
    }
    before, after = _traced()
    paths = sum(_has_path(node) for node in written[exported.PYTORCH].graph.node)
    opset = {
        name: next(each.version for each in model.opset_import if not each.domain)
        for name, model in written.items()
    }
    return Finding(
        {
            **{f"{name}: nodes": sum(found.values()) for name, found in counts.items()},
            **{
                f"{name}: of them {kind}": counts[name][kind]
                for name in _KERAS
                for kind in ("Cast", "Transpose")
            },
            **{f"{name}: opset": version for name, version in opset.items()},
            "PyTorch: nodes whose metadata has paths of this machine": paths,
            **{
                f"{name}, traced with weights as inputs: nodes": len(found)
                for name, found in before.items()
            },
            **{f"{name}, after the passes: nodes": len(found) for name, found in after.items()},
        },
        _claims(written, counts, errors, after),
    )


def _claims(
    written: dict[str, onnx.ModelProto],
    counts: dict[str, Counter[str]],
    errors: dict[str, float],
    after: dict[str, list[str]],
) -> Claims:
    return {
        "The graphs compute the same: every logit is within the limit of rounding.": (
            max(errors.values()) <= tiny.LIMIT
        ),
        "No two exporters write the same operators.": (
            len({frozenset(_some(counts[n]).items()) for n in (exported.PYTORCH, *_KERAS)}) == 3
        ),
        "PyTorch's graph reads images as (N, 3, H, W), Keras's as (N, H, W, 3) on either "
        "backend.": (
            exported.first_input(written[exported.PYTORCH])[1] == 3
            and all(exported.first_input(written[name])[-1] == 3 for name in _KERAS)
        ),
        "After this project's passes the traces of both frameworks are the same 37 "
        "operators in the same order.": (
            after["PyTorch"] == after["Keras on TensorFlow"]
            and Counter(after["PyTorch"]) == _CANONICAL
        ),
    }


def _some(counts: Counter[str]) -> dict[str, int]:
    """Without constants, which may be nodes or initializers."""
    return {kind: count for kind, count in counts.items() if kind != "Constant"}


def _operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def _traced() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Framework -> the operators of this project's trace, before its passes and after."""
    from export.graph.canonical import canonicalise
    from export.trace import from_keras, from_torch

    before, after = dict[str, list[str]](), dict[str, list[str]]()
    for name, module in (("PyTorch", from_torch), ("Keras on TensorFlow", from_keras)):
        model = module.trace(configuration("tiny"))
        before[name] = [node.op_type for node in model.graph]
        canonicalise(model)
        after[name] = [node.op_type for node in model.graph]
    return before, after


def _has_path(node: Any) -> bool:
    return any('.py"' in prop.value or ".py:" in prop.value for prop in node.metadata_props)

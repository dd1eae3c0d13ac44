"""Judge a port of a PyTorch module: ``onnx_arbiter.torch.judge(my_port, module, inputs)``.

Where PyTorch and Keras on TensorFlow are used in one process, import torch first: the exporter of
PyTorch imports Triton, which crashes behind TensorFlow 2.20 and 2.21 (tensorflow#124205).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from onnx_arbiter.judge.records import Report


def judge(
    port: Any, reference: torch.nn.Module, inputs: Any, *, name: str = "port", **options: Any
) -> Report:
    """Judge what a port computes against a PyTorch module, layer by layer.

    The module is exported in memory in evaluation mode, without the exporter's optimiser, and
    evaluated in float64. The port's layers are matched to its submodules by name, or where the
    names differ by order, kind and shape. A layer that is one node of the graph is also run alone
    on the arbiter's values.

    Args:
        port: a PyTorch module, run in evaluation mode; a Keras model, which is given images as
            (N, H, W, C) if that is Keras's layout; or a function that is given the inputs as NumPy
            arrays and returns outputs, or outputs of submodules by name.
        reference: the original.
        inputs: the reference's: an array or a tensor, a sequence of them, or a mapping of keyword
            arguments.
        name: the port's name in the report.
        options: ``mode``, ``limits``: those of `onnx_arbiter.arbiter.Arbiter`.

    Raises:
        BadInput: the module cannot be exported, or the port gives nothing that can be compared.
    """
    from onnx_arbiter.ports import judging, torch_modules

    exported = torch_modules.reference(reference, inputs)
    return judging.judge(exported, port, name=name, **options)


def assert_within_rounding(
    port: Any, reference: torch.nn.Module, inputs: Any, *, name: str = "port", **options: Any
) -> None:
    """Raise ``AssertionError``, with what is wrong in words, unless the port holds; as `judge`."""
    __tracebackhide__ = True
    from onnx_arbiter.judge.explain import explain

    report = judge(port, reference, inputs, name=name, **options)
    if not report.holds:
        raise AssertionError(explain(report))

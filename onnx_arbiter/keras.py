"""Judge a port of a Keras model: ``onnx_arbiter.keras.judge(my_port, model, inputs)``.

Where PyTorch and Keras on TensorFlow are used in one process, import torch first: the exporter of
PyTorch imports Triton, which crashes behind TensorFlow 2.20 and 2.21 (tensorflow#124205).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx_arbiter.judge.records import Report


def judge(port: Any, reference: Any, inputs: Any, *, name: str = "port", **options: Any) -> Report:
    """Judge what a port computes against a Keras model, layer by layer.

    The model is exported on Keras's backend, TensorFlow, JAX or PyTorch, with the output of every
    layer, and evaluated in float64. The port's layers are matched to its layers by name, or where
    the names differ by order, kind and shape. A layer that is one node of the graph is also run
    alone on the arbiter's values.

    Args:
        port: a Keras model; a PyTorch module, which is given images as (N, C, H, W) and run in
            evaluation mode; or a function that is given the inputs as NumPy arrays and returns
            outputs, or outputs of layers by name.
        reference: the original: a functional model or a Sequential.
        inputs: the reference's: an array, a sequence of them, or a dictionary by the inputs' names.
        name: the port's name in the report.
        options: ``mode``, ``limits``: those of `onnx_arbiter.arbiter.Arbiter`.

    Raises:
        BadInput: the model cannot be exported, or the port gives nothing that can be compared.
    """
    from onnx_arbiter.ports import judging, keras_layers

    exported = keras_layers.reference(reference, inputs)
    return judging.judge(exported, port, name=name, **options)


def assert_within_rounding(
    port: Any, reference: Any, inputs: Any, *, name: str = "port", **options: Any
) -> None:
    """Raise ``AssertionError``, with what is wrong in words, unless the port holds; as `judge`."""
    __tracebackhide__ = True
    from onnx_arbiter.judge.explain import explain

    report = judge(port, reference, inputs, name=name, **options)
    if not report.holds:
        raise AssertionError(explain(report))

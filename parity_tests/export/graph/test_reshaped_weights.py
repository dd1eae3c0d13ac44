"""A dense layer's weight as a convolution's: another shape of the same bytes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from export.graph import naming
from export.graph.dense import apply_densely, reshaped
from parity_tests.support.graphs.graphs import parsed


def test_maps_that_are_not_square_keep_their_sides() -> None:
    signature = "(float[N,4,2,3] images, float[5,24] fc1__weight) => (float y)"
    model = parsed(signature, "f = Flatten(images) y = Gemm<transB=1>(f, fc1__weight)")
    naming.name(model)
    weight = model.graph.inputs.pop()
    values = np.arange(5 * 24, dtype=np.float32).reshape(5, 24)
    weight.const_value = ir.tensor(values, name="fc1.weight")
    model.graph.register_initializer(weight)
    apply_densely(model)
    convolution = model.graph[0]
    assert convolution.attributes.get_ints("kernel_shape") == (2, 3)
    assert weight.shape == ir.Shape((5, 4, 2, 3))
    assert np.array_equal(weight.const_value.numpy(), values.reshape(5, 4, 2, 3))


def test_values_in_a_file_stay_where_they_are_in_another_shape() -> None:
    stored = ir.ExternalTensor(
        "weights", 64, 24, ir.DataType.FLOAT, name="w", shape=ir.Shape((2, 3)), base_dir="folder"
    )
    other = reshaped(stored, (3, 2, 1))
    assert isinstance(other, ir.ExternalTensor)
    assert (other.location, other.offset, other.length) == ("weights", 64, 24)
    assert (other.name, other.base_dir, other.dtype) == ("w", "folder", ir.DataType.FLOAT)
    assert other.shape == ir.Shape((3, 2, 1))
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    again = reshaped(ir.Tensor(values, name="w"), (3, 2, 1))
    assert (again.name, again.shape, again.dtype) == ("w", ir.Shape((3, 2, 1)), ir.DataType.FLOAT)
    assert again.numpy().tolist() == values.reshape(3, 2, 1).tolist()

"""Calls that would build PyTorch's tensors, one by one: types, sizes and where values lie."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
import torch

from vgg16_weights.pickles import Record
from vgg16_weights.torch import state_dicts
from vgg16_weights.torch.state_dicts import Storage

KINDS: Final = [
    *("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool"),
    *("ComplexFloat", "ComplexDouble"),
]
VALUES: Final = np.arange(12, dtype="<f4")


def reference(kind: str, *view: Any) -> object:
    return ("storage", Record(f"torch.{kind}Storage"), "7", "cpu", 12, *view)


@pytest.mark.parametrize("kind", KINDS)
def test_a_storages_type_is_pytorchs(kind: str) -> None:
    dtype = str(getattr(torch, f"{kind}Storage")._dtype).removeprefix("torch.")
    assert state_dicts.persistent(reference(kind)) == Storage("7", 12, dtype, 0)
    assert state_dicts.itemsize(dtype) == getattr(torch, dtype).itemsize


@pytest.mark.parametrize("dtype", ["qint8", "quint8", "qint32", "quint4x2"])
def test_a_quantised_storage_has_pytorchs_size(dtype: str) -> None:
    assert state_dicts.itemsize(dtype) == getattr(torch, dtype).itemsize


def test_a_reference_may_be_a_part_of_a_storage_or_a_module() -> None:
    part = state_dicts.persistent(reference("Float", ("8", 3, 2)))
    assert part == Storage("7", 12, "float32", 3)
    assert state_dicts.persistent(reference("Float", None)) == Storage("7", 12, "float32", 0)
    module = Record("torch.nn.Linear")
    assert state_dicts.persistent(("module", module, "linear.py", "class")) is module
    with pytest.raises(ValueError, match="not PyTorch's"):
        state_dicts.persistent(("elsewhere", "7"))


def made(name: str, *args: object, is_little: bool = True) -> Any:
    """The tensor that a function of PyTorch's would make, in a storage of twelve numbers."""
    values = VALUES if is_little else VALUES.astype(">f4")
    return state_dicts.tensor(
        Record(f"torch._utils.{name}", args), lambda _: values.view(np.uint8), is_little=is_little
    )


STRIDED: Final = (Storage("7", 12), 2, (2, 3), (1, 2))
EXPECTED: Final = [[2.0, 4.0, 6.0], [3.0, 5.0, 7.0]]


@pytest.mark.parametrize("is_little", [True, False])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("_rebuild_tensor", ()),
        ("_rebuild_tensor_v2", (False, {})),
        ("_rebuild_tensor_v3", (False, {}, Record("torch.float32"))),
    ],
)
def test_a_tensor_is_a_view_of_its_storage(
    name: str, more: tuple[object, ...], is_little: bool
) -> None:
    found = made(name, *STRIDED, *more, is_little=is_little)
    assert (found.shape, found.dtype) == ((2, 3), "float32")
    assert found.view().tolist() == EXPECTED


@pytest.mark.parametrize(
    "name",
    [
        *("_rebuild_parameter", "_rebuild_parameter_with_state"),
        "_rebuild_device_tensor_from_cpu_tensor",
    ],
)
def test_what_wraps_a_tensor_is_that_tensor(name: str) -> None:
    inner = Record("torch._utils._rebuild_tensor_v2", (*STRIDED, False, {}))
    assert made(name, inner, True).view().tolist() == EXPECTED
    function = Record("torch._utils._rebuild_tensor_v2")
    of_type = made("_rebuild_from_type_v2", function, Record("Own"), (*STRIDED, False, {}), {})
    assert of_type.view().tolist() == EXPECTED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("_rebuild_qtensor", "quantised"), ("_rebuild_sparse_tensor", "sparse"),
        ("_rebuild_sparse_csr_tensor", "sparse"), ("_rebuild_nested_tensor", "nested"),
        ("_rebuild_meta_tensor_no_storage", "meta, which has no values"),
        ("_rebuild_wrapper_subclass", "a tensor subclass"),
    ],
)  # fmt: skip
def test_a_tensor_of_another_kind_is_called_so_with_its_shape(name: str, kind: str) -> None:
    found = made(name, Record("torch.float32"), (4, 5), ("layout", (2, 3)))
    assert (found.dtype, found.shape) == (kind, (4, 5))
    nested = made(name, ("layout", Record("torch.Size", ((6, 7),))))
    assert nested.shape == (6, 7)


def test_a_tensor_that_is_changed_when_it_is_read_is_called_so() -> None:
    found = made("_rebuild_tensor_v2", *STRIDED, False, {}, {"neg": True})
    assert found.dtype == "negated or conjugated float32"
    other = made("_rebuild_tensor_v3", *STRIDED, False, {}, Record("torch.float8_e5m2"))
    assert other.dtype == "float8_e5m2"


def test_any_other_call_is_no_tensor() -> None:
    assert made("_rebuild_nothing", *STRIDED) is None
    other = Record("elsewhere._rebuild_tensor_v2", (*STRIDED, False, {}))
    assert state_dicts.tensor(other, lambda _: VALUES.view(np.uint8), is_little=True) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Storage("7", 13), 0, (2,), (1,)), "storage 7 is incomplete"),
        ((Storage("7", 12), 9, (2, 2), (2, 1)), "extends beyond its storage"),
        ((Storage("7", 12), -1, (2,), (1,)), "extends beyond its storage"),
        (("7", 0, (2,), (1,)), "without a storage, a shape or strides"),
        ((Storage("7", 12), "0", (2,), (1,)), "without a storage, a shape or strides"),
        ((Storage("7", 12), 0, "2", (1,)), "without a storage, a shape or strides"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made("_rebuild_tensor_v2", *arguments, False, {})


def test_the_last_value_of_a_storage_is_in_it_and_nothing_needs_no_room() -> None:
    assert made("_rebuild_tensor_v2", Storage("7", 12), 8, (2, 2), (2, 1)).view().tolist() == [
        [8.0, 9.0],
        [10.0, 11.0],
    ]
    empty = made("_rebuild_tensor_v2", Storage("7", 12), 99, (2, 0), (1, 1))
    assert empty.view().shape == (2, 0)

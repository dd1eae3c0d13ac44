"""What a port may return: any framework's tensors are taken, anything else is refused plainly."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vgg16_parity.runtimes.adapters.own_port import OwnPort, port_arrays, port_taps
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.registry import own_port
from vgg16_spec.errors import BadInput

LOGITS = np.arange(6, dtype=np.float32).reshape(2, 3)


class Symbolic:
    """A tensor of a graph: it has a shape and no values."""

    shape = (2, 3)

    def __array__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("no values")


@pytest.mark.parametrize(
    "computed",
    [
        LOGITS,
        LOGITS.tolist(),
        torch.tensor(LOGITS),
        torch.tensor(LOGITS, requires_grad=True),
        torch.tensor(LOGITS, requires_grad=True) * 1,
        torch.tensor(LOGITS, dtype=torch.bfloat16),
        (torch.tensor(LOGITS),),
        [LOGITS],
        list(LOGITS),
        {"predictions": torch.tensor(LOGITS, requires_grad=True)},
        {"logits": LOGITS},
        {"predictions": (LOGITS,)},
        SimpleNamespace(logits=torch.tensor(LOGITS), loss=None),
    ],
    ids=str,
)
def test_tensors_and_what_holds_one_are_taken(computed: object) -> None:
    taps = port_taps("mine", computed)
    assert list(taps) == ["predictions"]
    assert type(taps["predictions"]) is np.ndarray
    assert taps["predictions"].tolist() == LOGITS.tolist()


def test_other_taps_stay_beside_the_logits() -> None:
    taps = port_taps("mine", {"fc1": torch.tensor(LOGITS, requires_grad=True), "logits": LOGITS})
    assert list(taps) == ["fc1", "predictions"]


def test_numpys_bfloat16_is_widened() -> None:
    types = pytest.importorskip("ml_dtypes")
    taps = port_taps("mine", LOGITS.astype(types.bfloat16))
    assert taps["predictions"].dtype == np.float32
    assert taps["predictions"].tolist() == LOGITS.tolist()


@pytest.mark.parametrize(
    ("computed", "problem"),
    [
        (None, "gave a NoneType as predictions, which is not an array of numbers"),
        ("logits", "gave a str as predictions, which is not an array of numbers"),
        ((LOGITS, LOGITS), "gave 2 arrays as predictions: which one?"),
        ([torch.tensor(LOGITS)] * 3, "gave 3 arrays as predictions: which one?"),
        (Symbolic(), "gave a Symbolic as predictions, which is not an array"),
        ([[1.0], [1.0, 2.0]], "gave a list as predictions, which is not an array"),
        ({"fc1": LOGITS}, "gave no predictions"),
        ({}, "gave no predictions"),
        ({"predictions": LOGITS, "fc1": None}, "gave a NoneType as fc1, which is not an array of"),
    ],
)
def test_what_is_no_array_is_refused_in_a_sentence(computed: object, problem: str) -> None:
    with pytest.raises(BadInput) as refusal:
        port_taps("mine", computed)
    said = str(refusal.value)
    assert said.startswith(f"mine: {problem}")
    assert len(said) <= 300
    assert "\n" not in said


def test_layers_need_no_logits_among_them() -> None:
    assert list(port_arrays("mine", {"fc1": LOGITS})) == ["fc1"]
    assert list(port_arrays("mine", {"logits": LOGITS})) == ["predictions"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("images -= 1; return images.sum((2, 3))", "changed its input in place"),
        ("return images[:, 0, 0]", "returned predictions as a view of its input"),
        (
            "return {'fc1': torch.from_numpy(images)[:, 0, 0], 'predictions': images.sum((2, 3))}",
            "returned fc1 as a view of its input",
        ),
    ],
)
def test_a_port_that_takes_its_input_for_its_own_is_told_so(
    body: str, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import torch\n\ndef run(images, weights):\n    {body}\n")
    port = OwnPort(Job("run", own_port(f"{file}:run"), "strict", "", ""))
    images = np.ones((2, 3, 4, 4), np.float32)
    with pytest.raises(BadInput) as refusal:
        port.forward(images, logits_only=False)
    assert str(refusal.value).startswith(f"--port: {problem}")
    assert (images == 1).all()


def test_a_port_may_pass_nan_on(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def run(images, weights):\n    return images.sum((2, 3))\n")
    port = OwnPort(Job("run", own_port(f"{file}:run"), "strict", "", ""))
    taps = port.forward(np.full((2, 3, 4, 4), np.nan, np.float32), logits_only=False)
    assert np.isnan(taps["predictions"]).all()

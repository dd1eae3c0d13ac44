"""The canonical graph comes from the traced one by rewriting alone.

Were it written from the table of architectures, a changed model would not show. So models are
changed before they are traced: the graph must show that change and no other, or the export must
refuse and name the node or the weight.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
from torch import nn

import torch_impl
from export.trace import from_keras, from_torch
from parity_tests.support.graphs import keras_changes
from parity_tests.support.graphs.torch_changes import CHANGES, Change, behind
from parity_tests.support.graphs.traced import KEPT, REFUSED, outcome, traced
from vgg16_spec.architecture import CONFIGURATIONS

# A trace takes a third of a second, or seconds on Keras's PyTorch backend; the others are of the
# same kinds.
FAST: Final = (
    "extra ReLU",
    "stride instead of pooling",
    "no bias",
    "layer applied twice",
    "float16 in between",
    "maps flattened as W, H, C",
)
# What Keras's other backends may write in ways of their own.
ON_EVERY_BACKEND: Final = (*FAST, "average pooling", "dilation")
MARKS: Final = {name: [pytest.mark.full] for name in keras_changes.CHANGES if name not in FAST}


def check(found: list[str], expected: list[str] | str, *, refusable: bool = False) -> None:
    if refusable and len(found) == 1 and re.match(KEPT, found[0]):
        return
    if isinstance(expected, str):
        assert len(found) == 1
        assert re.match(expected, found[0]), found
    else:
        assert found == expected


@pytest.fixture(scope="module")
def keras_unchanged() -> list[str]:
    return traced(from_keras.trace)


@pytest.fixture(scope="module")
def torch_unchanged() -> list[str]:
    return traced(from_torch.trace)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, [])) for name in keras_changes.CHANGES]
)
def test_a_change_to_the_keras_model_shows(name: str, keras_unchanged: list[str]) -> None:
    with keras_changes.changed(keras_changes.CHANGES[name]):
        found = outcome(from_keras.trace, keras_unchanged)
    # The nodes that bring a weight into canonical layout then have two readers.
    refusable = name == "layer applied twice"
    check(found, keras_changes.EXPECTED[name], refusable=refusable)


@pytest.mark.full
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.weekly)])
def test_a_change_shows_on_the_other_backends_too(backend: str, keras_unchanged: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "parity_tests.support.graphs.keras_changes", *ON_EVERY_BACKEND],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["unchanged"] == keras_unchanged
    assert tuple(result["changes"]) == ON_EVERY_BACKEND
    for name, found in result["changes"].items():
        # What a backend writes in a way that is not known may be refused instead.
        check(found, keras_changes.EXPECTED[name], refusable=True)


@pytest.fixture
def change_torch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    def change(change: Change) -> None:
        class Changed(torch_impl.VGG):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                change(self)

        monkeypatch.setattr(torch_impl, "VGG", Changed)

    return change


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks) for name, (_, _, marks) in CHANGES.items()]
)
def test_a_change_to_the_pytorch_model_shows(
    name: str, torch_unchanged: list[str], change_torch: Callable[[Change], None]
) -> None:
    change, expected, _ = CHANGES[name]
    change_torch(change)
    check(outcome(from_torch.trace, torch_unchanged), expected)


@pytest.mark.full
def test_a_pytorch_model_with_other_weights_is_refused_by_name(
    change_torch: Callable[[Change], None],
) -> None:
    # By PyTorch itself, which is given the weights by name.
    for change, key in (
        (lambda n: n.features.__setitem__(0, nn.Conv2d(3, 4, 3, bias=False)), "features.0.bias"),
        (behind(1, lambda: nn.Conv2d(4, 4, 1)), "features.1.1.weight"),
    ):
        change_torch(change)
        with pytest.raises(RuntimeError, match=re.escape(key)):
            from_torch.trace(CONFIGURATIONS["tiny"])


def test_both_frameworks_give_the_same_lines(
    keras_unchanged: list[str], torch_unchanged: list[str]
) -> None:
    assert keras_unchanged == torch_unchanged
    assert len(keras_unchanged) == 37
    assert not any(line.startswith(REFUSED) for line in keras_unchanged)

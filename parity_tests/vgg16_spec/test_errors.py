"""Messages count one thing in the singular, and stay short whatever a file holds."""

from __future__ import annotations

import pytest

from vgg16_spec.errors import BadInput, counted


@pytest.mark.parametrize(
    ("count", "label", "classes"),
    [(0, "0 labels", "0 classes"), (1, "1 label", "1 class"), (2, "2 labels", "2 classes")],
)
def test_one_thing_alone_is_singular(count: int, label: str, classes: str) -> None:
    assert counted(count, "label") == label
    assert counted(count, "class", "classes") == classes


def test_a_message_does_not_grow_with_a_files_shapes_and_names() -> None:
    shape = (1,) * 100_000
    error = BadInput("w.safetensors", f"only a {shape}", f"no {shape}")
    line = str(error)
    assert line.startswith("w.safetensors: only a (1, 1, ")
    assert "; expected no (1, 1, " in line
    assert len(line) < 5000
    assert error.problem == f"only a {shape}"

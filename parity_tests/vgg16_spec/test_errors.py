"""Messages count one thing in the singular."""

from __future__ import annotations

import pytest

from vgg16_spec.errors import counted


@pytest.mark.parametrize(
    ("count", "label", "classes"),
    [(0, "0 labels", "0 classes"), (1, "1 label", "1 class"), (2, "2 labels", "2 classes")],
)
def test_one_thing_alone_is_singular(count: int, label: str, classes: str) -> None:
    assert counted(count, "label") == label
    assert counted(count, "class", "classes") == classes

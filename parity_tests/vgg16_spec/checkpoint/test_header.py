"""A safetensors header is parsed once, and again when its file has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vgg16_weights
from vgg16_spec.checkpoint import Checkpoint, header


@pytest.mark.parametrize("name", ["timm", "torchvision-safetensors"])
def test_a_file_is_parsed_once_to_be_recognised_and_read(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "w"
    vgg16_weights.write(tiny, path, name)
    parsed: list[Any] = []
    safe_open = header.safe_open  # type: ignore[attr-defined]

    def counted(*arguments: Any, **options: Any) -> Any:
        parsed.append(arguments)
        return safe_open(*arguments, **options)

    monkeypatch.setattr(header, "safe_open", counted)
    assert vgg16_weights.detect(path) == name
    vgg16_weights.read(path)
    assert len(parsed) == 1
    vgg16_weights.write(tiny.with_recipe("caffe"), path, name)
    parsed.clear()
    assert vgg16_weights.read(path).metadata.recipe == "caffe"
    assert len(parsed) == 1

"""Keras is traced on the backend that it runs on, or the export says what is missing."""

from __future__ import annotations

import keras
import pytest

from export.trace import from_keras
from vgg16_spec.architecture import configuration
from vgg16_spec.errors import BadInput


@pytest.mark.parametrize(("backend", "converter"), [("tensorflow", "tf2onnx"), ("jax", "jax2onnx")])
def test_a_missing_converter_is_named(
    monkeypatch: pytest.MonkeyPatch, backend: str, converter: str
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(from_keras, "find_spec", lambda _: None)
    with pytest.raises(BadInput, match=rf"^Keras on {backend}: {converter} is not installed; "):
        from_keras.trace(configuration("tiny"))


def test_a_backend_without_a_converter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(BadInput, match=r"^KERAS_BACKEND: is 'openvino'; expected one of tensorfl"):
        from_keras.trace(configuration("tiny"))

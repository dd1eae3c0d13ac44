"""OpenVINO computes in the lane's precision, or the row says in which."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.settings import Unavailable


class OpenVino:
    """A stand-in for OpenVINO on a processor with these capabilities; the best is the default."""

    def __init__(self, *capabilities: str) -> None:
        self.capabilities, self.hint = list(capabilities), capabilities[0].lower()
        self.hint = {"fp32": "f32", "fp16": "f16"}.get(self.hint, self.hint)
        self.compiled: list[dict[str, Any]] = []

    def Core(self) -> OpenVino:  # noqa: N802 - the module's own name
        return self

    def get_property(self, device: str, name: str) -> Any:
        assert device == "CPU"
        if name == "OPTIMIZATION_CAPABILITIES":
            return self.capabilities
        return SimpleNamespace(get_type_name=lambda: self.hint)

    def set_property(self, device: str, properties: dict[str, Any]) -> None:
        assert device == "CPU"
        self.hint = properties.get("INFERENCE_PRECISION_HINT", self.hint)

    def compile_model(self, model: str, device: str, config: dict[str, Any]) -> str:
        assert device == "CPU"
        self.compiled.append(config)
        return model


@pytest.mark.parametrize(
    ("lane", "capabilities", "config", "precision", "mode"),
    [
        ("strict", ("BF16", "FP32"), {"INFERENCE_PRECISION_HINT": "f32"}, "f32", ""),
        ("default", ("BF16", "FP32"), {}, "bf16", "bfloat16"),
        ("default", ("FP16", "FP32"), {}, "f16", "float16"),
        ("default", ("FP32",), {}, "f32", ""),
        ("bfloat16", ("BF16",), {"INFERENCE_PRECISION_HINT": "bf16"}, "bf16", "bfloat16"),
    ],
)
def test_openvino_is_judged_by_the_precision_that_it_takes(
    monkeypatch: pytest.MonkeyPatch,
    lane: str,
    capabilities: tuple[str, ...],
    config: dict[str, str],
    precision: str,
    mode: str,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", OpenVino(*capabilities))
    found, flags = settings.openvino_config(LANES[lane])
    assert (found, flags) == (config, {"inference_precision": precision})
    assert settings.openvino_mode(flags) == mode
    assert settings.openvino_mode({"deterministic_algorithms": "True"}) == ""


@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        ("bfloat16", "OpenVINO has no bfloat16 here, only FP32, INT8"),
        ("float16", "OpenVINO is run in float32 and bfloat16, not in float16"),
    ],
)
def test_a_precision_that_openvino_lacks_is_not_run(
    monkeypatch: pytest.MonkeyPatch, lane: str, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", OpenVino("FP32", "INT8"))
    with pytest.raises(Unavailable) as refusal:
        settings.openvino_config(LANES[lane])
    assert str(refusal.value) == reason


def test_keras_compiles_for_openvino_in_the_lanes_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = OpenVino("BF16", "FP32")
    monkeypatch.setitem(sys.modules, "openvino", module)
    settings.configure_keras_openvino(LANES["strict"], "cpu")
    assert module.compile_model("model", "CPU") == "model"  # type: ignore[call-arg]
    assert module.compiled == [{"INFERENCE_PRECISION_HINT": "f32"}]
    with pytest.raises(Unavailable, match="Keras on OpenVINO is run in float32, not in float16"):
        settings.configure_keras_openvino(LANES["float16"], "cpu")

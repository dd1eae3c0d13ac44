"""What ONNX Runtime's quantizer is asked for, without waiting for what it does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export.graph import precision
from export.options import Options
from parity_tests.support.helpers import PICTURES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import preprocess, read_image

_RELU: Final = (
    '<ir_version: 8, opset_import: ["" : 18]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
)


def test_the_quantizer_is_told_how_and_given_each_picture(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime import quantization

    told: dict[str, Any] = {}
    levels = []

    def quantize(model: onnx.ModelProto, written: Path, reader: Any, **options: Any) -> None:
        levels.append(logging.getLogger().level)
        pictures = list(iter(reader.get_next, None))
        assert [list(each) for each in pictures] == [["images"]] * len(PICTURES)
        for picture, path in zip(pictures, PICTURES, strict=True):
            expected = preprocess(read_image(path), tiny.recipe, size=64)
            assert np.array_equal(picture["images"], np.repeat(expected, 3, axis=0))
        told.update(options)
        onnx.save(model, written)

    monkeypatch.setattr(quantization, "quantize_static", quantize)
    logging.getLogger().setLevel(logging.INFO)
    model = ir.from_proto(onnx.parser.parse_model(_RELU))
    options = Options(precision="int8", calibrate=PICTURES, batch=3)
    try:
        made = precision.lower(model, tiny, options)
        # The quantizer's advice is not heard; what was heard before is again.
        assert (levels, logging.getLogger().level) == ([logging.ERROR], logging.INFO)
    finally:
        logging.getLogger().setLevel(logging.WARNING)
    assert [node.op_type for node in made.graph] == ["Relu"]
    assert told == {
        "quant_format": quantization.QuantFormat.QDQ,
        "per_channel": True,
        "activation_type": quantization.QuantType.QUInt8,
        "weight_type": quantization.QuantType.QInt8,
        "calibrate_method": quantization.CalibrationMethod.MinMax,
    }

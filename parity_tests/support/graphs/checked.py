"""Checking ONNX files as ``vgg16 check`` does, with the project's photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnx import helper

from mistakes.in_onnx import Edit
from vgg16_parity.onnx_check.check import CheckReport, check_model
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS

PICTURES = [photograph.path for photograph in PHOTOGRAPHS]
READ = "layers matched by the ONNX graph"
# An edit of the exported network, without what its metadata say -> the file.
Edited: TypeAlias = Callable[[Edit], Path]
# An edit of the exported network -> the report on the edited file.
Planted: TypeAlias = Callable[[Edit], CheckReport]


def check(path: Path, checkpoint: Checkpoint) -> CheckReport:
    return check_model(path, checkpoint, PICTURES)


def wrong_weights(report: CheckReport) -> dict[str, str]:
    return {weight.tensor: weight.problem for weight in report.weights if weight.problem}


def without_biases(checkpoint: Checkpoint, first: str = "") -> Checkpoint:
    """The checkpoint with biases of zero in the layers whose names begin so."""
    names = (n for n in checkpoint if n.startswith(first) and n.endswith(".bias"))
    return checkpoint.with_tensors({name: np.zeros_like(checkpoint[name]) for name in names})


def use_local_function(model: onnx.ModelProto) -> None:
    """Have the first ReLU call a function that the model defines."""
    imports = [helper.make_opsetid("", 18)]
    body = [helper.make_node("Relu", ["x"], ["y"])]
    model.functions.append(helper.make_function("local", "Mine", ["x"], ["y"], body, imports))
    model.opset_import.append(helper.make_opsetid("local", 1))
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type, relu.domain = "Mine", "local"

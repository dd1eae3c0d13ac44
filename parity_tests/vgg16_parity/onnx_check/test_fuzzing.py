"""Damaged graphs are refused in one line, or read as the weights that the file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx

from export.load import open_model
from parity_tests.support.structured import message
from vgg16_parity.onnx_check import graph, weights
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_parity.onnx_check.walk import follow
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

SEED = 16


def test_mutants_are_refused_or_read_as_what_they_hold(
    exported: Path, tiny: Checkpoint, tmp_path: Path, mutants: int
) -> None:
    valid, counts = onnx.load(exported), Counter[str]()
    for number in range(mutants // 4):
        path = tmp_path / "mutant.onnx"
        damaged = message(valid, SEED, number)
        path.write_bytes(damaged.SerializeToString())
        try:
            model = open_model(path)
            found = follow(model, tiny.configuration, tiny.recipe)
            problems = [*graph.problems(found, tiny.configuration)]
            assert all("\n" not in problem for problem in problems), number
            different = any(each.problem for each in weights.compare(found, tiny))
            read = checkpoint_of_onnx(path)
        except BadInput as error:
            counts["refused"] += 1
            said = str(error)
        else:
            counts["read"] += 1
            said = ""
        if said:
            assert said.startswith(f"{path}: "), number
            assert "\n" not in said, number
            continue
        held = [onnx.numpy_helper.to_array(each) for each in damaged.graph.initializer]
        for name in read:
            # An absent bias is read as zeros.
            known = [*held, np.zeros_like(read[name])]
            assert any(np.array_equal(read[name], each) for each in known), (number, name)
            if not different and name in tiny:
                assert np.array_equal(read[name], tiny[name]), (number, name)
    # Both happen, or the changes were all too small or all too large.
    assert min(counts["refused"], counts["read"]) > sum(counts.values()) // 8, counts

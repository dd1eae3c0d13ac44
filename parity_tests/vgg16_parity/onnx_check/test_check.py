"""`vgg16 check` reports as text, as JSON and by its exit status."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL.Image import Image

from mistakes.in_onnx import change_weight
from parity_tests.support.graphs.checked import (
    PICTURES,
    Planted,
    check,
    use_local_function,
    wrong_weights,
)
from parity_tests.support.helpers import Command
from vgg16_parity.onnx_check.check import NOT_THE_NETWORK, to_json
from vgg16_parity.onnx_check.text import lines
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate, seeded_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import read_image


def test_the_command_says_what_it_found(
    vgg16: Command, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    done = vgg16("check", exported, "--weights", tiny.file, "--images", PICTURES[0])
    assert done.status == 0, done.err
    said = done.out.splitlines()
    assert said[:2] == [
        "graph: as the checkpoint's network (NCHW, logits)",
        "weights: 32 of 32 equal",
    ]
    assert said[2].startswith("numbers: errors are ")
    assert said[2].endswith(" standard deviations (limits 1.5 and 10)")
    assert said[3] == f"model.onnx matches {tiny.file}."
    done = vgg16("check", exported, "--configuration", "tiny", "--weights", "seeded:1")
    assert done.status == 1
    assert "weights: 0 of 32 equal" in done.out
    assert "model.onnx does not match" in done.out


def test_it_says_what_it_compares_with_before_it_does(vgg16: Command, exported: Path) -> None:
    done = vgg16("check", exported, "--configuration", "tiny", "--images", PICTURES[0])
    first = done.err.splitlines()[0]
    assert first == "compared with the seeded checkpoint tiny: give --weights for yours"
    assert done.out.splitlines()[-1] == "model.onnx matches the seeded checkpoint tiny."
    done = vgg16("check", exported, "--weights", "seeded:1", "--configuration", "tiny")
    assert "give --weights" not in done.err
    assert done.out.splitlines()[-1] == "model.onnx does not match seeded:1."


def test_the_document_has_every_stage(vgg16: Command, exported: Path, tiny: Checkpoint) -> None:
    done = vgg16("check", exported, "--configuration", "tiny", "--json")
    document = json.loads(done.out)
    again = json.loads(json.dumps(to_json(check(exported, tiny))))
    assert document == again | {"checkpoint": document["checkpoint"]}
    assert document["schema"] == "vgg16-check/2"
    assert document["matches"] is True
    assert document["graph"]["passed"] is document["numbers"]["passed"] is True
    assert [weight["tensor"] for weight in document["weights"]] == list(tiny)
    assert document["images"] == ["chelsea.png", "rocket.jpg"]


def test_a_picture_may_have_any_name(vgg16: Command, exported: Path, tmp_path: Path) -> None:
    # Bytes that are no UTF-8.
    picture = shutil.copy(PICTURES[0], tmp_path / "\udcff.png")
    done = vgg16("check", exported, "--configuration", "tiny", "--images", picture, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["images"] == ["\udcff.png"]


def test_checking_imports_no_framework_and_the_runtime_late() -> None:
    code = (
        "import sys, vgg16_parity.onnx_check.check\n"
        "slow = {'torch', 'tensorflow', 'keras', 'jax', 'onnxruntime'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_picture_is_decoded_once(
    exported: Path, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = list[Path]()

    def counted(path: Path) -> Image:
        decoded.append(path)
        return read_image(path)

    monkeypatch.setattr("vgg16_parity.onnx_check.check.read_image", counted)
    assert check(exported, tiny).matches
    assert decoded == PICTURES


def test_a_model_with_a_local_function_is_checked_in_a_fresh_process(
    exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    model = onnx.load(exported)
    use_local_function(model)
    onnx.save(model, tmp_path / "model.onnx")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vgg16_parity", "check", tmp_path / "model.onnx"),
            *("--weights", tiny.file, "--images", PICTURES[0]),
        ],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "graph: as the checkpoint's network (NCHW, logits)" in done.stdout


def test_another_checkpoint_differs_in_every_tensor(exported: Path) -> None:
    report = check(exported, seeded_checkpoint("tiny", 1))
    assert report.graph.passed
    assert len(wrong_weights(report)) == 32
    assert all("values differ, by up to" in problem for problem in wrong_weights(report).values())
    assert report.numbers.verdict is not None
    assert not report.numbers.passed


def test_outputs_that_are_right_but_for_a_known_mistake_are_told_so(planted: Planted) -> None:
    def swap(values: np.ndarray) -> np.ndarray:
        values[[3, 700]] = values[[700, 3]]
        return values

    def edit(model: onnx.ModelProto) -> None:
        for part in ("weight", "bias"):
            change_weight(f"predictions.{part}", swap)(model)

    report = planted(edit)
    words = "the values are the arbiter's, but with classes 3 and 700 exchanged"
    assert report.numbers.mistake == words
    assert to_json(report)["numbers"]["mistake"] == words
    assert f"numbers: {words}" in lines(report)


def test_another_number_of_classes_is_told(exported: Path) -> None:
    report = check(exported, generate(configuration("tiny", classes=10)))
    problem = "Gemm predictions: outputs 1000, expected 10 (predictions)"
    assert report.graph.problems == (problem,)
    assert report.numbers.reason == NOT_THE_NETWORK


@pytest.mark.parametrize(("name", "counts"), [("A", "22 of 22"), ("D", "31 of 32")])
def test_the_weights_of_another_configuration_are_one_line(
    name: str, counts: str, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.zeros((len(PICTURES), 1000))
    monkeypatch.setattr(
        "vgg16_parity.network.prediction.expect_logits", lambda *_: (logits, logits + 1, [9.0] * 9)
    )
    report = check(exported, generate(configuration(name)))
    _, *said = [line for line in lines(report) if line.startswith("weights: ")]
    words = f"the graph is configuration tiny, the checkpoint {name}"
    assert said == [f"weights: {counts} have other shapes: {words}"]


def test_shapes_of_no_configuration_are_one_line_with_the_first_of_them(
    exported: Path, tiny: Checkpoint
) -> None:
    report = check(exported, tiny)
    problem = "has the shape (5,) in canonical layout, expected another"
    other = [replace(weight, problem=problem) for weight in report.weights]
    said = list(lines(replace(report, weights=tuple(other))))
    words = f"32 of 32 have other shapes, which --json lists; block1_conv1.weight {problem}"
    assert f"weights: {words}" in said
    assert sum("shape" in line for line in said) == 1


def test_a_checkpoint_without_its_classifier_is_refused(exported: Path, tiny: Checkpoint) -> None:
    way = "has no classifier; expected weights with fc1 to predictions, or vgg16 export --features"
    with pytest.raises(BadInput, match=way):
        check(exported, tiny.without_top())

"""Planted mistakes end to end: a port in a file, the command line, worker processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from parity_tests.support.helpers import Command

pytestmark = pytest.mark.slow

# The project's own model with a mistake of the catalogue.
PLANTED: Final = """
from mistakes.in_{framework} import Port
from mistakes.catalogue import MISTAKES, changed
from vgg16_spec.checkpoint import open_checkpoint


def port(images, weights):
    mistake = MISTAKES[{mistake!r}]
    checkpoint = open_checkpoint(weights)
    model = Port(checkpoint.configuration.name)
    model.load(changed(checkpoint, mistake))
    model.plant(mistake.name)
    return model.taps(images)
"""
# Models as users have them: only their outputs are judged.
TORCH: Final = """
import torch
import torch_impl
from vgg16_spec.checkpoint import open_checkpoint


def port(images, weights):
    model = torch_impl.VGG("tiny").{mode}()
    torch_impl.load_checkpoint(model, open_checkpoint(weights))
    with torch.no_grad():
        return model(torch.tensor(images{order})).numpy()
"""
KERAS: Final = """
import keras_impl
from vgg16_spec.checkpoint import open_checkpoint


def port(images, weights):
    model = keras_impl.sequential("tiny", classifier_activation={activation})
    keras_impl.load_checkpoint(model, open_checkpoint(weights))
    return model.predict_on_batch(images.transpose(0, 2, 3, 1))
"""

# Name -> the port's source, and the layer that the report names.
BROKEN: Final = {
    "torch, fc1 not permuted": (
        PLANTED.format(framework="torch", mistake="fc1 not permuted"),
        "fc1",
    ),
    "keras, no ReLU": (PLANTED.format(framework="keras", mistake="no ReLU"), "block3_conv2"),
    "keras, weights in float16": (
        PLANTED.format(framework="keras", mistake="weights in float16"),
        "block2_conv2",
    ),
    "torch, train mode": (TORCH.format(mode="train", order=""), "predictions"),
    "torch, BGR": (TORCH.format(mode="eval", order="[:, ::-1].copy()"), "predictions"),
    "keras, softmax": (KERAS.format(activation="'softmax'"), "predictions"),
}
# Name -> the mistake that is named, if its values tell.
TOLD: Final = {
    "torch, BGR": "on another input: channels reversed (BGR for RGB, or RGB for BGR)\n",
    "keras, softmax": "they are probabilities: return the logits, before the softmax\n",
}
ADVICE: Final = "mine:port (strict): photographs: only logits were compared: return taps to judge"
RIGHT: Final = {
    "torch": TORCH.format(mode="eval", order=""),
    "keras": KERAS.format(activation="None"),
}


def judged(vgg16: Command, folder: Path, source: str, *options: str) -> tuple[int, str, str]:
    file = folder / "mine.py"
    file.write_text(source, encoding="utf-8")
    chosen = ("--configuration", "tiny", "--lanes", "strict", "--port", f"{file}:port")
    outcome = vgg16("parity", *chosen, *options)
    return outcome.status, outcome.out, outcome.err


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistaken_port_ends_with_status_1_and_the_layer(
    vgg16: Command, tmp_path: Path, name: str
) -> None:
    source, layer = BROKEN[name]
    status, out, err = judged(vgg16, tmp_path, source)
    assert status == 1, err
    assert f"mine:port (strict) broken: from {layer} on: photographs: errors are " in out
    assert TOLD.get(name, "") in out
    assert ("the values are the arbiter's" in out) == (name in TOLD)
    assert (ADVICE in out) == (layer == "predictions")
    assert out.endswith("Parity is broken: mine:port (strict).\n")


@pytest.mark.parametrize("framework", RIGHT)
def test_a_right_port_ends_with_status_0(vgg16: Command, tmp_path: Path, framework: str) -> None:
    status, out, err = judged(vgg16, tmp_path, RIGHT[framework], "--json")
    assert status == 0, out + err
    (row,) = json.loads(out)["rows"]
    assert (row["runtime"], row["status"], row["first_wrong"]) == ("mine:port", "holds", "")

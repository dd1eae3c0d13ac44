"""Any text of a configuration is read as layers, or refused at once in one short line."""

from __future__ import annotations

import json
import math
import time
import zipfile
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.keras_configs import (
    TINY,
    Config,
    saved_with,
    set_to,
    stated_by,
)
from parity_tests.support.weights.refusals import refusal
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights.detection import read
from vgg16_weights.keras.written_config import model_config

pytestmark = pytest.mark.usefixtures("no_first_reading")

DEEP: Final = b"[" * 200_000 + b"]" * 200_000


def inside(levels: int) -> Config:
    config = model_config(TINY)
    for _ in range(levels):
        config = {"class_name": "Sequential", "config": {"name": "in", "layers": [config]}}
    return config


# Text of a configuration -> words of the refusal.
NONSENSE: Final[dict[str, tuple[Any, str]]] = {
    "no JSON": (b"{", "not JSON"),
    "megabytes": (b" " * ((1 << 22) + 1), "has more than 4194304 bytes"),
    "deep": (b'{"config": {"layers": ' + DEEP + b"}}", "nested too deeply"),
    "models in models": (inside(40), "nested more than 16 deep"),
    "no layers": ({"class_name": "Sequential", "config": {"layers": [1]}}, "one of its layers"),
    "no class": ({"config": {"layers": [{"config": {"name": "x"}}]}}, "no class"),
    "no name": ({"config": {"layers": [{"class_name": "Dense", "config": {}}]}}, "no name"),
    "nothing": ({"config": {"layers": []}}, "it ends after 0 convolutions"),
    "a scale that is no number": (
        {
            "config": {
                "layers": [{"class_name": "Rescaling", "config": {"name": "r", "scale": math.nan}}]
            }
        },
        "'r' does not have one finite number",
    ),
    "a scale beyond numbers": (
        {
            "config": {
                "layers": [{"class_name": "Rescaling", "config": {"name": "r", "scale": 10**400}}]
            }
        },
        "'r' does not have one finite number",
    ),
    "a scale of words": (
        {
            "config": {
                "layers": [{"class_name": "Rescaling", "config": {"name": "r", "scale": "x"}}]
            }
        },
        "'r' does not have one finite number",
    ),
    "a long name": (
        {"config": {"layers": [{"class_name": "Conv2D", "config": {"name": "x\n" * 9999}}]}},
        "Conv2D layer 'x",
    ),
    "a long class": (
        {"config": {"layers": [{"class_name": "C" * 9999, "config": {"name": "x"}}]}},
        "CCC",
    ),
    "many layers": (
        {"config": {"layers": [{"class_name": "Identity", "config": {"name": "x"}}] * 60_000}},
        "it ends after 0 convolutions",
    ),
    "an endless activation": (
        {
            "config": {
                "layers": [
                    {
                        "class_name": "Activation",
                        "config": {"name": "x", "activation": ["y"] * 9999},
                    }
                ]
            }
        },
        "'x' is",
    ),
    "code": (
        {"config": {"layers": [{"class_name": "Lambda", "config": {"name": "lambda_1"}}]}},
        "it contains code: Lambda layer 'lambda_1'",
    ),
    "a pickled module": (
        {"config": {"layers": [{"class_name": "keras.layers>TorchModuleWrapper", "config": {}}]}},
        "it contains code: TorchModuleWrapper layer",
    ),
    "a function as code": (
        {
            "config": {
                "layers": [
                    {"class_name": "Dense", "config": {"activation": {"class_name": "__lambda__"}}}
                ]
            }
        },
        "it contains code: a function",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_at_once_in_one_short_line(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    config, says = NONSENSE[name]
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    saved_with(text, tiny, tmp_path / "m.keras")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.empty(0)
        # As Keras keeps it: in an attribute of any length.
        file.attrs["model_config"] = text.decode()
    for path, form in (("m.keras", "keras"), ("m.h5", "keras-h5")):
        start = time.monotonic()
        line = refusal(form, tmp_path / path)
        assert time.monotonic() - start < 5
        assert says in line
        assert len(line) - len(str(tmp_path)) < 240


def test_a_model_that_lists_no_layers_is_read_by_its_weights(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    config = json.dumps({"module": "mine", "class_name": "VGG", "config": {"trainable": True}})
    checkpoint = read(saved_with(config, tiny, tmp_path / "m.keras"))
    assert same(checkpoint, tiny)
    assert "read by its weights alone" in " ".join(checkpoint.steps)


def test_another_classifier_is_refused_unless_it_is_not_wanted(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    config = model_config(tiny.configuration)
    set_to("predictions", activation="sigmoid")(config)
    path = saved_with(json.dumps(config), tiny, tmp_path / "m.keras")
    with pytest.raises(BadInput, match=r"'predictions' has the activation sigmoid.*--no-top"):
        read(path)
    # Not wanted, it is no reason.
    read(path, include_top=False)


def test_what_is_written_here_is_read_without_a_word(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.keras", "keras")
    checkpoint = read(tmp_path / "w.keras")
    assert checkpoint.steps == ()
    assert checkpoint.metadata == tiny.metadata
    with zipfile.ZipFile(tmp_path / "w.keras") as archive:
        assert stated_by(json.loads(archive.read("config.json"))).head_problem == ""

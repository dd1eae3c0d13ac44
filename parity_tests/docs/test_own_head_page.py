"""``docs/how-to/port-my-own-head.md``: its commands and its code carry a head over, both ways."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "port-my-own-head.md"
# The models that a user has trained, with the head's weights random.
TRAINED = """
import keras
import keras_impl
from vgg16_spec.checkpoint.seeded import seeded_checkpoint

keras.utils.set_random_seed(3)
features = seeded_checkpoint("tiny").without_top()
K = keras.layers


def model(*head):
    shape = (64, 64, 3)
    base = keras_impl.functional("tiny", include_top=False, weights=features, input_shape=shape)
    outputs = base.output
    for layer in head:
        outputs = layer(outputs)
    return base, keras.Model(base.input, outputs)


def dense(units, activation):
    return K.Dense(units, activation=activation, bias_initializer="random_normal")


base, _ = model()
inputs = keras.Input((64, 64, 3))
pooled = K.GlobalAveragePooling2D()(base(inputs))
keras.Model(inputs, dense(5, "softmax")(pooled)).save("cats.keras")
head = K.Flatten(), dense(256, "relu"), dense(64, "relu"), dense(5, "softmax")
model(*head)[1].save("dogs.keras")
"""
COMMAND = """
import subprocess
subprocess.run([sys.executable, "-m", "vgg16_parity", *{arguments!r}], check=True)
"""


def program() -> str:
    """The page's blocks in order, for the small network."""
    blocks = re.findall(r"(?ms)^```(sh|python)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    parts = ["import sys\n"]
    for kind, text in blocks:
        if kind == "sh":
            parts += [COMMAND.format(arguments=line.split()[1:]) for line in text.splitlines()]
        else:
            parts.append(text.replace('"D"', '"tiny"').replace("224", "64"))
    return "".join(parts)


@pytest.mark.slow
def test_the_pages_code_carries_both_heads_over_in_both_directions(tmp_path: Path) -> None:
    # One process, and names of its own for the page's code.
    done = subprocess.run(
        [sys.executable, "-c", f"for code in {(TRAINED, program())!r}: exec(code, {{}})"],
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

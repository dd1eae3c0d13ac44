"""Keras's own picture of the model, by Graphviz."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from vgg16_spec.architecture import Configuration
from vgg16_spec.files.atomic import whole_file


def missing() -> str:
    """What Keras's picture needs and is missing, with the remedy; empty if nothing is."""
    absent = []
    if find_spec("keras") is None:
        absent.append('keras is not installed: pip install "vgg16-parity[keras]"')
    if find_spec("pydot") is None:
        absent.append('pydot is not installed: pip install "vgg16-parity[draw]"')
    if shutil.which("dot") is None:
        absent.append(
            "Graphviz's program dot is not on the path: "
            "apt install graphviz, brew install graphviz or https://graphviz.org/download/"
        )
    return "; ".join(absent)


def write(network: Configuration, out: Path) -> None:
    """What ``keras.utils.plot_model`` draws of the functional model, as SVG or PNG by ``out``.

    The model is built without values. Requires what `missing` checks; raises
    ``BadInput`` where the file cannot be written.
    """
    import keras

    from keras_impl import functional

    with keras.StatelessScope(initialize_variables=False):
        model = functional(network.name)
    graph = keras.utils.model_to_dot(
        model, show_shapes=True, show_layer_names=True, show_layer_activations=True, dpi=96
    )
    ending = out.suffix.lower()
    with whole_file(out) as temporary:
        # The rest of plot_model, less what fails there: where IPython is installed it shows what it
        # has written, and cannot show SVG.
        graph.write(os.fspath(temporary), format=ending[1:])
        if ending == ".svg":
            _same_names(temporary, model)


def _same_names(drawn: Path, model: object) -> None:
    """Call the nodes of an SVG by their layers: Keras calls them by where they lie in memory."""
    text = drawn.read_text(encoding="utf-8")
    for layer in getattr(model, "layers", ()):
        text = text.replace(str(id(layer)), layer.name)
    drawn.write_text(text, encoding="utf-8", newline="\n")

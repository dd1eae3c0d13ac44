"""Keras's own picture of the model, by Graphviz."""

from __future__ import annotations

import os
from pathlib import Path

from vgg16_spec.architecture import Configuration
from vgg16_spec.files.atomic import whole_file


def write(network: Configuration, out: Path) -> None:
    """What ``keras.utils.plot_model`` draws of the functional model, as SVG or PNG by ``out``.

    The model is built without values. Raises ``BadInput`` where the file cannot be written.
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
            # Keras calls the nodes by where the layers lie in memory.
            text = temporary.read_text(encoding="utf-8")
            for layer in model.layers:
                text = text.replace(str(id(layer)), layer.name)
            temporary.write_text(text, encoding="utf-8", newline="\n")

"""The network as pictures: volumes, the paper's table, and Keras's own graph.

Importing this package imports neither matplotlib nor Keras; drawing a picture does.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, Literal, get_args

from vgg16_parity.runtimes.registry import Requirement
from vgg16_spec import architecture
from vgg16_spec.architecture import Configuration
from vgg16_spec.errors import BadInput, require_one_of
from vgg16_spec.files.atomic import check_writable, whole_file

Kind = Literal["volumes", "table", "keras"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ENDINGS: Final = (".svg", ".png")

__all__ = ["ENDINGS", "KINDS", "Kind", "check", "draw", "missing"]


def draw(out: str | os.PathLike[str], configuration: str = "D", *, kind: Kind = "volumes") -> Path:
    """Write a picture of a configuration, as SVG or PNG by the ending of ``out``.

    Args:
        out: the file to write, whole or not at all.
        configuration: ``A``, ``B``, ``C``, ``D`` (VGG16), ``E`` or ``tiny``.
        kind: ``volumes``, every layer's output as a box to scale; ``table``, Table 1 of the paper
            with the configuration's column marked; ``keras``, what ``keras.utils.plot_model``
            draws, which needs Graphviz and pydot.

    With the same versions of the libraries, the bytes are the same each time.

    Raises ``BadInput``, a ``ValueError``, for another ending, configuration or kind, where
    something that draws is not installed, and where the file cannot be written.
    """
    network, wanted = check(out, configuration, kind)
    path = Path(out)
    if wanted == "keras":
        _draw_keras(network, path)
        return path
    from matplotlib import rc_context

    from vgg16_parity.drawing.style import settings, write
    from vgg16_parity.drawing.table import table
    from vgg16_parity.drawing.volumes import volumes

    with rc_context(settings()):
        write(volumes(network) if wanted == "volumes" else table(network), path)
    return path


def _draw_keras(network: Configuration, out: Path) -> None:
    """Write what ``keras.utils.plot_model`` draws of the functional model, built without values."""
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


def check(out: str | os.PathLike[str], configuration: str, kind: str) -> tuple[Configuration, Kind]:
    """Check the arguments of `draw` and return the network and the kind of picture.

    Raises ``BadInput`` as `draw` does.
    """
    path = Path(out)
    network = architecture.configuration(configuration)
    wanted = require_one_of("--kind", kind, KINDS)
    if path.suffix.lower() not in ENDINGS:
        ends = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise BadInput(path, ends, " or ".join(ENDINGS))
    check_writable(path)
    if reason := missing(wanted):
        raise BadInput(f"--kind {wanted}", reason)
    return network, wanted


def missing(kind: Kind) -> str:
    """What a kind of picture needs and is missing, with the remedy; empty if nothing is."""
    if kind != "keras":
        return Requirement(("matplotlib",), ("draw",)).missing()
    absent = [Requirement(("keras",), ("keras",)).missing()]
    absent.append(Requirement(("pydot",), ("draw",)).missing())
    if shutil.which("dot") is None:
        absent.append(
            "Graphviz's program dot is not on the path: "
            "apt install graphviz, brew install graphviz or https://graphviz.org/download/"
        )
    return "; ".join(filter(None, absent))

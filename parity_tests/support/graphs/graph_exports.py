"""Export networks from Keras on the backend that ``KERAS_BACKEND`` names.

``python -m parity_tests.support.graphs.graph_exports FOLDER`` exports every checkpoint in a
folder, with and without its classifier, into files named after the backend.
"""

from __future__ import annotations

import sys
from pathlib import Path

from export import export_onnx
from export.constants import Framework
from vgg16_spec.checkpoint import open_checkpoint


def export_all(framework: Framework, folder: Path, label: str) -> None:
    """The graphs of every checkpoint in the folder, which they point into."""
    for path in sorted(folder.glob("*.safetensors")):
        checkpoint = open_checkpoint(path, check_values=False)
        for features in (False, True):
            out = graph(folder, path.stem, label, features=features)
            export_onnx(framework, checkpoint, out, weights_file="shared", features=features)


def graph(folder: Path, name: str, label: str, *, features: bool) -> Path:
    """Where a graph is written."""
    return folder / f"{name}-{'features' if features else 'logits'}-{label}.onnx"


if __name__ == "__main__":
    import keras

    export_all("keras", Path(sys.argv[1]), f"keras-{keras.backend.backend()}")

"""Which of the formats that are HDF5 files a file is in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vgg16_weights.keras import hdf5, legacy_h5, weights_h5
from vgg16_weights.legacy import other_h5


def format_of(path: Path) -> str:
    """The format of an HDF5 file; that of Keras 3 for one of none, whose reader says what it is."""
    # Whatever HDF5 raises on a damaged file, its reader raises again, and says what of.
    with suppress(Exception), hdf5.opened(path) as file:
        if legacy_h5.lists_layers(file):
            return "keras-h5"
        if not weights_h5.has_variables(file) and (other := other_h5.format_of(file)):
            return other
    return "keras-weights-h5"

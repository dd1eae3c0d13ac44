"""What the arbiter expects, kept in files, so that no process holds more than a layer of it.

A folder for each case: ``images.npy``, and for every tap its values before the ReLU, the predicted
standard deviations of each mode, and the values rounded to float32 that the next layer is given
where each layer is judged alone. Workers map these files; so does what judges them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.inputs import Case
from vgg16_parity.network.prediction import predict
from vgg16_spec.checkpoint import Checkpoint

IMAGES: Final = "images"


@dataclass(frozen=True)
class ArbiterTap:
    """A tap as the arbiter has it, mapped from its files.

    Attributes:
        before: the values before the ReLU, float64.
        relu: whether the tap's values are those above zero.
        accumulated: the predicted standard deviation after all layers so far.
        local: the same for the layer alone.
    """

    before: NDArray[np.float64]
    relu: bool
    accumulated: NDArray[np.float32]
    local: NDArray[np.float32]


@dataclass(frozen=True)
class ArbiterCase:
    """A case's folder.

    Attributes:
        case: the case.
        folder: where its files are.
        relus: tap -> whether a ReLU ends it, in the network's order; the taps that are kept.
        reached: tap -> the largest magnitude before its ReLU, in the network's order; every tap.
    """

    case: Case
    folder: Path
    relus: Mapping[str, bool]
    reached: Mapping[str, float]

    def beyond(self, mode: Mode) -> str:
        """The first tap with a value that the mode cannot hold, in words; empty where none has."""
        for tap, largest in self.reached.items():
            if largest > mode.largest:
                return f"the arbiter's {tap} reaches {largest:.3g}, beyond {mode.name}"
        return ""

    def tap(self, name: str, mode: Mode) -> ArbiterTap:
        """What is expected of a tap in a mode."""
        return ArbiterTap(
            _load(self.folder / f"{name}.before.npy"),
            self.relus[name],
            _load(self.folder / f"{name}.{mode.name}.accumulated.npy"),
            _load(self.folder / f"{name}.{mode.name}.local.npy"),
        )


def expect(
    checkpoint: Checkpoint,
    case: Case,
    modes: Sequence[Mode],
    folder: Path,
    *,
    logits_only: bool = False,
) -> ArbiterCase:
    """Run the arbiter on a case and write what it expects into a new folder.

    Args:
        checkpoint: with its classifier.
        case: the images.
        modes: the numeric modes to predict errors for.
        folder: made here.
        logits_only: keep the last tap alone.
    """
    folder.mkdir()
    np.save(folder / f"{IMAGES}.npy", case.images)
    relus, reached = {}, {}
    last = checkpoint.configuration.taps[-1]
    # What is not finite, or overflows in a variance, is told by the verdict.
    with np.errstate(over="ignore", invalid="ignore"):
        for prediction in predict(checkpoint, case.images, modes):
            tap = prediction.tap
            reached[tap] = float(np.abs(prediction.before).max(initial=0))
            if logits_only and tap != last:
                continue
            relus[tap] = prediction.relu
            np.save(folder / f"{tap}.before.npy", prediction.before)
            if not logits_only:
                np.save(folder / f"{tap}.given.npy", prediction.values.astype(np.float32))
            for kind in ("accumulated", "local"):
                for mode, deviation in getattr(prediction, kind).items():
                    np.save(folder / f"{tap}.{mode}.{kind}.npy", deviation)
    return ArbiterCase(case, folder, relus, reached)


def images(folder: Path) -> NDArray[np.float32]:
    """A case's images, (N, 3, H, W)."""
    return np.asarray(_load(folder / f"{IMAGES}.npy"))


def given(folder: Path, taps: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """What the layer after each of these taps is given where layers are judged alone."""
    return {tap: _load(folder / f"{tap}.given.npy") for tap in taps}


def _load(path: Path) -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped

"""The arbiter's answers for a case, kept in files so that no process holds more than one layer.

Each case has a folder with ``images.npy`` and, for every tap, the pre-activation, the predicted
standard deviations of each mode, and the values rounded to float32: the next layer's input where
layers are compared locally. Workers and the comparison map these files into memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import activate
from onnx_arbiter.independence import independent_errors
from onnx_arbiter.numeric_modes import Mode

IMAGES: Final = "images"


@dataclass(frozen=True)
class Case:
    """A named batch.

    Attributes:
        name: the name in reports.
        images: the network's input, (N, 3, H, W).
        labels: the name of each image.
        extreme: whether the values are so large or small that a mode may overflow on them.
    """

    name: str
    images: NDArray[np.float32]
    labels: tuple[str, ...]
    extreme: bool = False

    @property
    def finite(self) -> bool:
        """Whether every value is finite; otherwise there are no values to compare with."""
        return bool(np.isfinite(self.images).all())


@dataclass(frozen=True)
class Prediction:
    """The arbiter's values of one tap, and the error to expect of a runtime.

    Attributes:
        tap: the tap's name.
        preactivation: the values before the ReLU, (N, C, H, W) or (N, features), float64.
        relu: whether a ReLU follows.
        accumulated: mode -> predicted standard deviation if the runtime computed all layers so far;
            of the shape of ``preactivation``.
        local: the same if the runtime got the arbiter's input of this layer, rounded.
        given: what the next layer gets where layers run alone; None for the tap's values.
    """

    tap: str
    preactivation: NDArray[np.float64]
    relu: bool
    accumulated: Mapping[str, NDArray[np.float32]]
    local: Mapping[str, NDArray[np.float32]]
    given: NDArray[np.float32] | None = None

    @property
    def values(self) -> NDArray[np.float64]:
        """The tap's values."""
        return activate(self.preactivation, self.relu)

    def independent(self) -> dict[str, tuple[float, ...]]:
        """Mode -> the number of independent errors of each image."""
        return {
            mode: tuple(
                _independent(values, self.relu, size)
                for values, size in zip(self.preactivation, deviation, strict=True)
            )
            for mode, deviation in self.accumulated.items()
        }


class ArbiterTap(NamedTuple):
    """A tap's prediction in one mode, mapped from its files; the rest as in ``Prediction``."""

    preactivation: NDArray[np.float64]
    relu: bool
    accumulated: NDArray[np.float32]
    local: NDArray[np.float32]


@dataclass(frozen=True)
class ArbiterCase:
    """The arbiter's answers for one case.

    Attributes:
        case: the case.
        folder: the folder of its files.
        relus: tap -> whether a ReLU ends it, in the network's order; the taps in the folder.
        reached: tap -> largest magnitude of its pre-activation, in the network's order; every tap.
        passed: mode -> for each image, the smallest number of independent errors at any tap that is
            not in the folder.
    """

    case: Case
    folder: Path
    relus: Mapping[str, bool]
    reached: Mapping[str, float]
    passed: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    _counted: dict[tuple[str, str, int], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def last(self) -> str:
        """The last tap: the logits."""
        return list(self.relus)[-1]

    def beyond(self, mode: Mode) -> str:
        """A message that names the first tap whose values overflow in a mode; empty if none do."""
        for tap, largest in self.reached.items():
            if largest > mode.largest:
                return f"the arbiter's {tap} reaches {largest:.3g}, beyond {mode.name}"
        return ""

    def preactivation(self, tap: str) -> NDArray[np.float64]:
        """A tap's pre-activation."""
        return _load(self.folder / f"{tap}.preactivation.npy")

    def has(self, mode: Mode) -> bool:
        """Whether the errors of a mode were predicted."""
        return (self.folder / f"{self.last}.{mode.name}.accumulated.npy").exists()

    def tap(self, name: str, mode: Mode) -> ArbiterTap:
        """A tap's prediction in one mode."""
        return ArbiterTap(
            self.preactivation(name),
            self.relus[name],
            _load(self.folder / f"{name}.{mode.name}.accumulated.npy"),
            _load(self.folder / f"{name}.{mode.name}.local.npy"),
        )

    def independent_at(self, name: str, mode: Mode, image: int) -> float:
        """The number of independent errors at a tap, in an image."""
        key = (name, mode.name, image)
        if key not in self._counted:
            preactivation, relu, deviation, _ = self.tap(name, mode)
            self._counted[key] = _independent(preactivation[image], relu, deviation[image])
        return self._counted[key]

    def independent_before(self, name: str, mode: Mode, image: int) -> float:
        """The smallest number of independent errors at any tap before one, in an image."""
        fewest = self.passed[mode.name][image] if self.passed else math.inf
        before = takewhile(lambda tap: tap != name, self.relus)
        return min((self.independent_at(tap, mode, image) for tap in before), default=fewest)

    def independent_inputs(self, name: str, image: int) -> float:
        """The number of independent roundings of what a layer gets where it runs alone.

        Of a sequence, each layer gets the tap before. The network's own input is not rounded.
        """
        before = list(takewhile(lambda tap: tap != name, self.relus))
        if not before:
            return math.inf
        given = activate(self.preactivation(before[-1])[image], self.relus[before[-1]])
        return independent_errors(given, np.square(given))


def write_case(
    case: Case, predictions: Iterable[Prediction], folder: Path, *, only: str = ""
) -> ArbiterCase:
    """Write the arbiter's answers, every tap in the network's order, into a new folder.

    With ``only``, write that tap alone, without the input of a next layer.
    """
    folder.mkdir()
    np.save(folder / f"{IMAGES}.npy", case.images)
    relus, reached = {}, {}
    passed = dict[str, tuple[float, ...]]()
    for prediction in predictions:
        tap = prediction.tap
        reached[tap] = float(np.abs(prediction.preactivation).max(initial=0))
        if only and tap != only:
            for mode, counts in prediction.independent().items():
                passed[mode] = tuple(map(min, counts, passed.get(mode, counts)))
            continue
        relus[tap] = prediction.relu
        np.save(folder / f"{tap}.preactivation.npy", prediction.preactivation)
        if not only:
            given = prediction.values if prediction.given is None else prediction.given
            np.save(folder / f"{tap}.given.npy", given.astype(np.float32))
        for kind in ("accumulated", "local"):
            for mode, deviation in getattr(prediction, kind).items():
                np.save(folder / f"{tap}.{mode}.{kind}.npy", deviation)
    return ArbiterCase(case, folder, relus, reached, passed)


def images(folder: Path) -> NDArray[np.float32]:
    """The images of a case's folder, (N, 3, H, W)."""
    return np.asarray(_load(folder / f"{IMAGES}.npy"))


def given(
    folder: Path, taps: Sequence[str], *, writable: bool = False
) -> dict[str, NDArray[np.float32]]:
    """The input of the layer after each tap where layers are compared locally.

    What is written to ``writable`` arrays reaches neither the files nor a later caller's arrays.
    """
    return {tap: _load(folder / f"{tap}.given.npy", "c" if writable else "r") for tap in taps}


def _independent(
    preactivation: NDArray[np.float64], relu: bool, deviation: NDArray[np.float32]
) -> float:
    """The number of independent errors of one image at a tap, of those that a ReLU lets pass."""
    variance = np.square(deviation, dtype=np.float64)
    if relu:
        variance = np.where(preactivation > -deviation, variance, 0.0)
    return independent_errors(preactivation, variance)


def _load(path: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    return mapped

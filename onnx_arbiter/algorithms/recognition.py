"""Which algorithm computed 3x3 convolutions, told from the rounding errors.

A transform of tiles rounds some rows and columns of a tile more than others, so the errors of
Winograd's F(m x m) have the period m. F(2x2) treats its two rows alike and has none. It rounds
hardly more than a direct sum, so only errors that fail as one are tried with it.

Errors show an algorithm if they have the period and are likelier under it than as a direct sum's in
three quarters of the channels: one wrong weight or bias shows in one channel, and small maps have
some period by chance. What all convolutions show together goes for one that shows nothing, unless
its errors are likelier as a direct sum's.

An FFT spreads its errors evenly over a tile, dark places included. So does a bias that is a little
wrong, but that shifts its channel by the same in every tile and image: errors that fail show an FFT
if, in three quarters of the channels, they are likelier under it without such a shift. No
convolution is computed by one because others are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS, Fft
from onnx_arbiter.algorithms.patterns import Fit, fit, periods, without_shift
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd
from onnx_arbiter.error_model import Float64
from onnx_arbiter.limits import LIMITS

# R above which an error is of no algorithm in float32.
POOREST: Final = 1000.0
# Passes of the arbiter.
_MOST_TRIED: Final = 3
# R of errors under an algorithm, above which the arbiter need not run by it: what is judged then
# is limited more narrowly.
FITS: Final = 4.0
# R as a direct sum, above which no FFT fits: it rounds at most a few times as much as one.
_BEYOND_FFTS: Final = 16.0
# The share of the channels that an algorithm must explain better than a direct sum does.
_CHANNELS: Final = 0.75
# By how much errors without a pattern may be likelier as a direct sum's, in the logarithm of an
# error's likelihood: maps without a whole tile show the same under both.
_ALIKE: Final = 0.02
# F(2x2) has no period.
_NO_PERIOD: Final = 2


@dataclass(frozen=True)
class OwnErrors(ABC):
    """The errors that convolutions made of what they read.

    Attributes:
        values: the errors, (N, C, H, W); NaN where a ReLU hides one.
        deviation: the predicted standard deviation of a direct sum's.
    """

    values: Float64
    deviation: Float64
    _deviations: dict[Algorithm, Float64] = field(default_factory=dict, repr=False, kw_only=True)

    @abstractmethod
    def deviation_of(self, algorithm: Algorithm) -> Float64:
        """The predicted standard deviation of an algorithm's errors."""

    @cached_property
    def as_direct(self) -> Fit:
        """How well a direct sum explains them."""
        return fit(self.values, self.deviation)

    @property
    def fail(self) -> bool:
        """Whether they are no direct sum's."""
        ratio, largest, _ = self.as_direct
        return ratio > LIMITS.ratio.limit or largest > LIMITS.deviations.limit

    def by(self, algorithm: Algorithm) -> Fit:
        """How well an algorithm explains them."""
        return fit(self.values, self._deviation_by(algorithm))

    def unshifted_by(self, algorithm: Algorithm | None) -> Fit:
        """How well an algorithm, or a direct sum, explains them but for a shift of each channel."""
        deviation = self.deviation if algorithm is None else self._deviation_by(algorithm)
        return fit(without_shift(self.values, deviation), deviation)

    def _deviation_by(self, algorithm: Algorithm) -> Float64:
        if algorithm not in self._deviations:
            self._deviations[algorithm] = self.deviation_of(algorithm)
        return self._deviations[algorithm]


def suggested(errors: OwnErrors) -> dict[Algorithm, float]:
    """The algorithms that errors show -> how much likelier they are.

    That is the median over the channels, of the logarithm of an error's likelihood.
    """
    # A period of 4 looks like one of 6 or 8 where maps have few tiles: the likelihood decides.
    sizes = periods(errors.values / errors.deviation, {each.outputs for each in WINOGRAD})
    found = dict[Algorithm, float]()
    for candidate in WINOGRAD:
        if candidate.outputs in sizes or (candidate.outputs == _NO_PERIOD and errors.fail):
            gains = _gains(errors, candidate)
            # An algorithm rounds in every channel, a wrong weight or bias shows in one.
            if gains.size and np.quantile(gains, 1 - _CHANNELS) > 0:
                found[candidate] = float(np.median(gains))
    if errors.fail and all(each.outputs == _NO_PERIOD for each in found):
        found |= _ffts_shown(errors)
    return found


def _ffts_shown(errors: OwnErrors) -> dict[Algorithm, float]:
    """The FFTs that explain the errors, but for a shift of each channel, in most channels."""
    direct, found = errors.unshifted_by(None), dict[Algorithm, float]()
    for fft in ffts_of(errors):
        gains = direct.costs - errors.unshifted_by(fft).costs
        gains = gains[~np.isnan(gains)]
        fits = errors.by(fft).ratio < FITS
        if fits and gains.size and np.quantile(gains, 1 - _CHANNELS) > 0:
            found[fft] = float(np.median(gains))
    return found


def ffts_of(errors: OwnErrors) -> list[Fft]:
    """The FFTs that an engine would choose for a map, unless none rounds so much."""
    if errors.as_direct.ratio > _BEYOND_FFTS:
        return []
    return [fft for fft in FFTS if fft.is_for(*errors.values.shape[2:])]


def options_of(
    names: Iterable[str], errors_of: Callable[[str], OwnErrors | None]
) -> dict[str, list[Algorithm]]:
    """Convolution -> the algorithms that may have computed it, the network's likeliest first.

    Args:
        names: the convolutions.
        errors_of: the errors of one; None where they are not known. It is asked once for each name,
            and again for one that fails.
    """
    names = list(names)
    shown, failing = dict[str, dict[Algorithm, float]](), set[str]()
    gains = defaultdict[Algorithm, float](float)
    for name in names:
        if (errors := errors_of(name)) is not None:
            shown[name] = suggested(errors)
            if errors.fail:
                failing.add(name)
            for algorithm, gain in shown[name].items():
                if isinstance(algorithm, Winograd):
                    gains[algorithm] += gain
    order = sorted(gains, key=gains.__getitem__, reverse=True)
    options = dict.fromkeys(names, order)  # nothing is known of one without errors
    for name, found in shown.items():
        likeliest = sorted(found, key=found.__getitem__, reverse=True)
        if likeliest and isinstance(likeliest[0], Fft):
            options[name] = likeliest
            continue
        own = set(found)
        if name in failing and (errors := errors_of(name)) is not None:
            own = own | {each for each in order if each not in own and _may_be_by(each, errors)}
        options[name] = [each for each in order if each in own]
    return {name: found for name, found in options.items() if found}


def assignments(
    options: Mapping[str, Sequence[Algorithm]],
    still_fail: Callable[[Mapping[str, Algorithm]], Iterable[str]],
    *,
    alone: bool,
) -> Iterator[dict[str, Algorithm]]:
    """Convolution -> its algorithm: the likeliest for all, then the next for those that still fail.

    Args:
        options: of `options_of`.
        still_fail: what fails under an assignment, in the network's order.
        alone: whether each ran alone. In a forward pass, those behind the first that fails may only
            have read what it got wrong.
    """
    place = dict.fromkeys(options, 0)
    for _ in range(_MOST_TRIED if options else 0):
        algorithms = {name: each[place[name]] for name, each in options.items()}
        yield algorithms
        failed = still_fail(algorithms)
        others = [each for each in failed if each in options and options[each][place[each] + 1 :]]
        if not others:
            return
        for name in others if alone else others[:1]:
            place[name] += 1


def _may_be_by(algorithm: Algorithm, errors: OwnErrors) -> bool:
    """Whether errors without a pattern are about as likely under an algorithm."""
    gains = _gains(errors, algorithm)
    return bool(gains.size) and float(np.median(gains)) > -_ALIKE


def _gains(errors: OwnErrors, algorithm: Algorithm) -> NDArray[np.float64]:
    """How much likelier each channel's errors are under an algorithm; none if it does not fit."""
    found = errors.by(algorithm)
    gains = errors.as_direct.costs - found.costs
    return gains[~np.isnan(gains)] if found.ratio < FITS else gains[:0]


def by_algorithm(algorithms: Mapping[str, str], order: Sequence[str]) -> str:
    """In words, which layers were computed by which algorithm; consecutive ones together."""
    words = []
    for name, group in groupby(order, key=lambda layer: algorithms.get(layer, "")):
        names = list(group)
        which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        words += [f"{which}: as by {name}"] if name else []
    return "; ".join(words)

"""What the comparisons that a row has can show: the weights that its inputs exercise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import REACH
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.coverage import CaseExercised, Coverage, Exercised
from vgg16_parity.records import Row
from vgg16_spec.architecture import Configuration


class Coverages:
    """The coverage of rows, from what each case exercises.

    Args:
        configuration: the network.
        tapped, pooled: as for `CaseExercised`.

    Attributes:
        probes: what the probes exercise; counts for rows whose layers were probed.
    """

    def __init__(
        self, configuration: Configuration, *, tapped: bool = True, pooled: bool = True
    ) -> None:
        self.configuration = configuration
        self.probes: Exercised | None = None
        self._wanted = {"tapped": tapped, "pooled": pooled}
        self._cases: dict[str, CaseExercised] = {}
        # Most rows have the same comparisons.
        self._known: dict[object, Coverage] = {}

    def case(self, name: str) -> CaseExercised:
        """What takes the taps of a case, for ``vgg16_parity.network.prediction.expect``."""
        return self._cases.setdefault(name, CaseExercised(self.configuration, **self._wanted))

    def add_probes(
        self, inputs: Mapping[str, NDArray[np.float32]], answers: ArbiterCase, mode: Mode
    ) -> None:
        """Take what each layer's own inputs exercise: layer -> its input, and its answers."""
        found = Exercised(self.configuration)
        for layer in self.configuration.weighted_layers:
            tap = answers.tap(layer.name, mode)
            passes = tap.preactivation + REACH * tap.local > 0
            # No output of the last layer is cut.
            found.add_layer(layer.name, inputs[layer.name], passes | (not layer.relu))
        self.probes = found

    def added_to(self, row: Row) -> Row:
        """The row with its coverage; as it was if nothing was compared."""
        compared = {
            case.case: frozenset(layer.tap for layer in case.layers)
            for case in row.cases
            if case.layers and case.case in self._cases
        }
        probed = bool(row.probes) and self.probes is not None
        if not (compared or probed):
            return row
        key = (frozenset(compared.items()), probed)
        if key not in self._known:
            found = Exercised(self.configuration)
            for name, taps in compared.items():
                found = found.united(self._cases[name].at(taps))
            if probed and self.probes is not None:
                found = found.united(self.probes)
            self._known[key] = found.coverage()
        return replace(row, coverage=self._known[key])

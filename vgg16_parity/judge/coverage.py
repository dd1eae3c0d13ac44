"""What the comparisons that a row has can show: the weights that its inputs exercise."""

from __future__ import annotations

from dataclasses import replace

from onnx_arbiter.expectations import ArbiterCase
from vgg16_parity.network.coverage import CaseExercised, Coverage, Exercised
from vgg16_parity.network.probes import lit
from vgg16_parity.records import Row
from vgg16_spec.architecture import Configuration


class Coverages:
    """The coverage of rows, from what each case exercises.

    Args:
        configuration: the network.
        tapped, pooled: as for `CaseExercised`.

    Attributes:
        probes: what the probes exercise; counts for the layers of a row that were probed.
    """

    def __init__(
        self, configuration: Configuration, *, tapped: bool = True, pooled: bool = True
    ) -> None:
        self.configuration = configuration
        self.probes = Exercised(configuration)
        self._wanted = {"tapped": tapped, "pooled": pooled}
        self._cases: dict[str, CaseExercised] = {}
        # Most rows have the same comparisons.
        self._known: dict[object, Coverage] = {}

    def case(self, name: str) -> CaseExercised:
        """What takes the taps of a case, for ``vgg16_parity.network.prediction.expect``."""
        return self._cases.setdefault(name, CaseExercised(self.configuration, **self._wanted))

    def add_probes(self, answers: ArbiterCase) -> None:
        """Take what each layer's dense inputs exercise, from the folder of `expect_probes`."""
        self.probes = Exercised(self.configuration)
        for layer, inputs, passes in lit(answers, self.configuration):
            self.probes.add_layer(layer, inputs, passes)

    def added_to(self, row: Row) -> Row:
        """The row with its coverage; as it was if nothing was compared."""
        compared = {
            case.case: frozenset(layer.tap for layer in case.layers)
            for case in row.cases
            if case.layers and case.case in self._cases
        }
        probed = frozenset(probe.layer for probe in row.probes)
        if not (compared or probed):
            return row
        key = (frozenset(compared.items()), probed)
        if key not in self._known:
            found = Exercised(self.configuration)
            for name, taps in compared.items():
                found.include(self._cases[name].at(taps))
            found.include(self.probes, probed)
            self._known[key] = found.coverage()
        return replace(row, coverage=self._known[key])

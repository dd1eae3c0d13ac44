"""What became of the changes: counts with their uncertainty, and what survived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.stats import binomtest

from benchmarks.harness.tables import page, table
from benchmarks.mutants.changes import Key
from benchmarks.mutants.survivors import LISTED
from benchmarks.mutants.trial import Outcome

LEAST: Final = 0.9
_NOTICED: Final = (Outcome.NOTICED, Outcome.TIMED_OUT)


@dataclass(frozen=True)
class Result:
    """What became of one change.

    Attributes:
        key: the change.
        row: number of its line.
        outcome: what the tests did.
    """

    key: Key
    row: int
    outcome: Outcome

    @classmethod
    def read(cls, line: str) -> Result:
        """From one line of JSON."""
        key, row, outcome = json.loads(line)
        return cls(Key(*key), row, Outcome(outcome))

    def written(self) -> str:
        """As one line of JSON."""
        return json.dumps([self.key, self.row, self.outcome])

    @property
    def line(self) -> str:
        """The change as one line for people."""
        return f"{self.key.file}:{self.row} in {self.key.where}: {self.key.was} -> {self.key.now}"


def summary(room: str, results: Sequence[Result], listed: Mapping[Key, str]) -> str:
    """A page of Markdown: the counts, then each change that no test noticed."""
    counts = Counter(result.outcome for result in results)
    noticed = _noticed(results)
    low, high = binomtest(noticed, len(results)).proportion_ci(method="wilson")
    rows = [[str(outcome), str(counts[outcome])] for outcome in Outcome]
    said = (
        f"{noticed / len(results):.1%} of {len(results):,} changes were noticed "
        f"(95 % interval: {low:.1%} to {high:.1%})."
    )
    missed = [
        f"- `{result.line}`  \n  {listed.get(result.key, 'not listed')}"
        for result in sorted(results, key=lambda result: (result.key.file, result.row))
        if result.outcome not in _NOTICED
    ]
    counted = table(["outcome", "changes"], rows)
    return page([f"# {room}", said, counted, "## Survived" if missed else "", "\n".join(missed)])


def failures(results: Sequence[Result], listed: Collection[Key], *, whole: bool) -> list[str]:
    """Why the run fails, a line each; nothing if it passes.

    A sample is not held to the list: it is another one as soon as the code changes.
    """
    found: list[str] = []
    if _noticed(results) < LEAST * len(results):
        found.append(f"fewer than {LEAST:.0%} of the changes were noticed")
    missed = {result.key for result in results if result.outcome not in _NOTICED}
    if whole and (unlisted := len(missed.difference(listed))):
        found.append(f"{unlisted} changes survived that {LISTED} does not list")
    return found


def _noticed(results: Sequence[Result]) -> int:
    return sum(result.outcome in _NOTICED for result in results)

"""What ``benchmarks.export`` measured, and the figures derived from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from benchmarks.export.routes import Route
from benchmarks.harness.measure import Outcome, summary


@dataclass(frozen=True)
class RouteCost:
    """What exporting by one route cost.

    Attributes:
        route: the route.
        error: why it failed or was killed; empty if it succeeded.
        outcomes: one for each process.
        written: bytes of the files that it wrote.
        digest: of the ONNX file, for this project's routes.
        late: modules imported while the clock ran.
    """

    route: Route
    error: str = ""
    outcomes: tuple[Outcome, ...] = ()
    written: int = 0
    digest: str = ""
    late: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float | None:
        """The median time of the export."""
        return summary(self.outcomes, "export", median)

    @property
    def resident(self) -> float | None:
        """The largest peak of resident memory above the start, in bytes."""
        return summary(self.outcomes, "export", max, lambda span: span.above.resident)

    @property
    def anonymous(self) -> float | None:
        """The largest peak of anonymous memory above the start, in bytes."""
        return summary(self.outcomes, "export", max, lambda span: span.above.anonymous)

    @property
    def process_seconds(self) -> float | None:
        """The median life of the process, killed ones included."""
        return median([o.seconds for o in self.outcomes]) if self.outcomes else None

    @property
    def process_peak(self) -> float | None:
        """The largest resident memory of any of the processes, in bytes."""
        return max((o.peak for o in self.outcomes), default=None)


@dataclass(frozen=True)
class Latency:
    """The latency of files that ran in turn.

    Attributes:
        reference: the file that is in every group.
        groups: the files that were open together, and the outcome of the process.
    """

    reference: str
    groups: list[tuple[list[str], Outcome]] = field(default_factory=list)

    def median(self, name: str, batch: int) -> float | None:
        """A file's median time of a run in seconds, in its first group."""
        times = next(iter(self._times(name, batch)), None)
        return median(times[0]) if times else None

    def against_reference(self, name: str, batch: int) -> float | None:
        """The median over the rounds of the file's time divided by the reference's."""
        times = next(iter(self._times(name, batch)), None)
        if times is None:
            return None
        return median([own / reference for own, reference in zip(*times, strict=True)])

    def noise(self, batch: int) -> float | None:
        """The reference's slowest run over its fastest, a measure of the machine's noise."""
        groups = self._times(self.reference, batch)
        return max((max(own) / min(own) for own, _ in groups), default=None)

    def difference(self, name: str) -> float | None:
        """The largest difference from the reference's logits, relative to the largest logit."""
        for group, outcome in self.groups:
            if name in group and not outcome.error:
                return float(outcome.result["differences"][name])
        return None

    def errors(self) -> list[str]:
        """Why groups could not be measured."""
        return [outcome.error for _, outcome in self.groups if outcome.error]

    def _times(self, name: str, batch: int) -> list[tuple[list[float], list[float]]]:
        """The times of the file and of the reference in every group that has both."""
        found = []
        for group, outcome in self.groups:
            if name in group and not outcome.error:
                times = outcome.result["seconds"][str(batch)]
                found.append((times[name], times[self.reference]))
        return found


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    Attributes:
        configuration: the network.
        peer: torchvision's name for it; empty if it has none.
        weights_bytes: the size of the checkpoint.
        machine: the machine and the versions.
        routes: route -> what exporting cost.
        sessions: route -> one outcome for each session that was opened.
        latency: of the same files.
    """

    configuration: str
    peer: str
    weights_bytes: int
    machine: dict[str, str]
    routes: dict[str, RouteCost]
    sessions: dict[str, list[Outcome]]
    latency: Latency

    def seconds(self, name: str) -> float | None:
        """A route's time of export, if it was measured."""
        return self.routes[name].seconds if name in self.routes else None

    def session(self, name: str, span: str) -> float | None:
        """The median seconds of a file's span: ``open`` for the session, ``first`` for a run."""
        return summary(self.sessions.get(name, []), span, median)

    def session_memory(self, name: str) -> tuple[float, float] | None:
        """The peak of resident and anonymous bytes above those before the session opened."""
        outcomes = [o for o in self.sessions.get(name, []) if not o.error]
        if not outcomes:
            return None
        before = [o.spans["open"].before for o in outcomes]
        peaks = [(o.spans["open"].peak, o.spans["first"].peak) for o in outcomes]
        pairs = list(zip(before, peaks, strict=True))
        return (
            max(max(p.resident for p in peak) - b.resident for b, peak in pairs),
            max(max(p.anonymous for p in peak) - b.anonymous for b, peak in pairs),
        )

    def peers(self) -> list[str]:
        """The peers' files that were opened."""
        return [name for name in self.sessions if self.routes[name].route.side == "peer"]

    def against_fastest_peer(self, name: str, batch: int) -> float | None:
        """A file's latency divided by that of the fastest peer's file."""
        own = self.latency.against_reference(name, batch)
        all_of_them = [self.latency.against_reference(peer, batch) for peer in self.peers()]
        peers = [ratio for ratio in all_of_them if ratio is not None]
        return own / min(peers) if own is not None and peers else None

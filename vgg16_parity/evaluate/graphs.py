"""Exported graphs: one for each runtime that needs one, exported when the first shard does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from vgg16_parity.evaluate.folder import RunFolder
from vgg16_parity.evaluate.identity import runtime_facts
from vgg16_parity.evaluate.shards import key
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.process import work
from vgg16_parity.workspace import Progress
from vgg16_spec.files.digest import digest

# As `export` calls it, which a user's own folder may be called too.
_MODEL_FILE = "model.onnx"


@dataclass
class Graphs:
    """Exports graphs into a temporary folder, and keeps their digests in the evaluation's.

    Attributes:
        folder: the evaluation's.
        scratch: temporary.
        weights: the digest of the weights.
        timeout: seconds that an export may take; None waits indefinitely.
        progress: shown meanwhile.
    """

    folder: RunFolder
    scratch: Path
    weights: str
    timeout: float | None
    progress: Progress
    _exported: dict[str, Record] = field(default_factory=dict)

    def digest(self, job: Job) -> tuple[str, Record]:
        """The digest of the graph that a job runs; of one that was never exported, exports it.

        With an empty digest, the record says why there is none.
        """
        if known := self.folder.graph_digest(self._name(job)):
            return known, Record()
        return self.export(job)

    def export(self, job: Job) -> tuple[str, Record]:
        """Export the job's graph into the folder that the job names, unless it is there.

        The digest is empty where that failed; the record says why, and what it cost.
        """
        name = self._name(job)
        if name not in self._exported:
            with self.progress(f"{job.runtime.name}: export"):
                folder = str(self.scratch / f"export-{name}")
                lane = _lane(job)
                task = replace(job, task="export", lane=lane, device="cpu", folder=folder, plan="")
                self._exported[name] = work(task, timeout=self.timeout)
        record = self._exported[name]
        if record.error:
            return "", record
        found = digest(Path(job.model) / _MODEL_FILE)
        if found != self.folder.graph_digest(name):
            self.folder.keep_graph_digest(name, found)
        return found, record

    def place(self, job: Job) -> Path:
        """The folder of a job's graph; the engines share one, in float32."""
        return self.scratch / f"model-{self._name(job)}"

    def _name(self, job: Job) -> str:
        facts = runtime_facts(replace(job.runtime, name="", engine="", setting="", onnx=True))
        return key(facts, self.weights, _lane(job))


def _lane(job: Job) -> str:
    return "strict" if job.runtime.engine else job.lane

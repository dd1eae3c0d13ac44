"""Evaluations on a Ray cluster; run as a module with ``OUT``. Prints what it found as JSON.

The cluster is two nodes on this machine, each of them some processes. One is killed while both
compute. A process of its own, since Ray changes the signals and threads of the one that it is in.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

from parity_tests.support.evaluation.images import dataset, jpegs
from parity_tests.support.evaluation.killed_run import hidden, results
from parity_tests.support.evaluation.ports import port
from vgg16_parity.evaluate.computing import Engines
from vgg16_parity.evaluate.engines.cluster import Ray
from vgg16_parity.evaluate.engines.connection import VARIABLES
from vgg16_parity.evaluate.engines.plain import Plain
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.registry import RUNTIMES, Runtime
from vgg16_spec.checkpoint.seeded import seeded_checkpoint

# Five shards, with pictures that are none in the first and the last.
PICTURES = dataset([*jpegs(20), b"", *jpegs(260, seed=1), b"none"])
# Each node has the processors of this machine, so that workers compute in as many threads as the
# plain engine's.
CPUS = 2
# The port appends the process of the node that it is on for each batch of images.
_MARKS = "import os; open({!r}, 'a').write(os.environ.get('RAY_RAYLET_PID', 'none') + chr(10))"


def main(out: str) -> None:
    folder, place = Path(out), Path(tempfile.mkdtemp(prefix="rc", dir="/tmp"))
    found: dict[str, Any] = {}
    printed = StringIO()
    try:
        with _cluster(place) as cluster, redirect_stdout(printed):
            engine = Ray("auto", CPUS)
            marks = folder / "marks"
            slow = port(folder, "slow", pause=0.3, more=_MARKS.format(str(marks)))
            runtimes = [slow, RUNTIMES["torch"], RUNTIMES["onnx-from-torch"]]
            ended = Event()
            killing = Thread(target=_kill, args=(cluster, marks, ended, found))
            killing.start()
            by_ray = _evaluated(runtimes, folder / "ray", engine)
            ended.set()
            killing.join()
            found["nodes"] = sorted(set(marks.read_text().split()))
            found["batches"] = len(marks.read_text().split())
            by_plain = _evaluated(runtimes, folder / "plain", Plain())
            found["statuses"] = [(each.status, each.reason) for each in by_ray.runtimes]
            found["equal"] = results(folder / "ray") == results(folder / "plain")
            found["results"] = len(results(folder / "ray"))
            found["left"] = hidden(folder / "ray")
            found["pixels"] = (folder / "ray" / "pixels").exists()
            found["unreadable"] = [each.name for each in by_ray.unreadable]
            found["facts"] = [
                (ours.versions == theirs.versions, ours.flags == theirs.flags)
                for ours, theirs in zip(by_ray.runtimes, by_plain.runtimes, strict=True)
            ]
            _finish_each_others(folder, runtimes[:2], engine, found)
            _fail(folder, engine, found)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    found["printed"] = printed.getvalue()
    print(json.dumps(found))


def _evaluated(runtimes: Sequence[Runtime], out: Path, engine: Engines) -> Measured:
    return evaluate(PICTURES, seeded_checkpoint("tiny"), runtimes, out, engine=engine)


@contextmanager
def _cluster(place: Path) -> Iterator[Any]:
    # Ray keeps what it does there, the address of the cluster `auto` too.
    os.environ["RAY_TMPDIR"] = str(place)
    # Its nodes and this process know each other by a token, of this run alone.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    (place / "ray").mkdir()
    os.environ |= VARIABLES
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=CPUS, object_store_memory=100 << 20, include_dashboard=False)
        yield cluster
    finally:
        cluster.shutdown()


def _kill(cluster: Any, marks: Path, ended: Event, found: dict[str, Any]) -> None:
    """Kill the node without the evaluation's process when its worker has computed some batches."""
    (node,) = cluster.worker_nodes
    raylet = str(node.all_processes["raylet"][0].process.pid)
    while not marks.exists() or marks.read_text().split().count(raylet) < 2:
        if ended.wait(0.02):
            return
    found["killed"] = raylet
    cluster.remove_node(node, allow_graceful=False)


def _finish_each_others(
    folder: Path, runtimes: Sequence[Runtime], engine: Engines, found: dict[str, Any]
) -> None:
    """Have either engine finish what the other has left of a run."""
    right = results(folder / "plain")
    for name, finishing in {"ray": Plain(), "plain": engine}.items():
        run = folder / name
        # The third shard of the first runtime, and all of the second.
        next((run / "results" / "slow_run").glob("000002-*")).unlink()
        shutil.rmtree(run / "results" / "torch")
        again = _evaluated(runtimes, run, finishing)
        found[f"computed after {name}"] = [each.computed for each in again.runtimes]
        found[f"finished after {name}"] = results(run) == right


def _fail(folder: Path, engine: Engines, found: dict[str, Any]) -> None:
    """Runtimes that fail, and one that does not."""
    runtimes = [
        port(folder, "broken", more="raise ValueError('no kernel')"),
        port(folder, "crashing", more="import os; os.kill(os.getpid(), 11)"),
        port(folder, "whole"),
    ]
    failed = _evaluated(runtimes, folder / "failing", engine)
    found["failing"] = [(each.status, each.reason) for each in failed.runtimes]


if __name__ == "__main__":
    main(*sys.argv[1:])

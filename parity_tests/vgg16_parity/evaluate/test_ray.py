"""An evaluation on a Ray cluster leaves the plain engine's files, whatever becomes of its nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.support.evaluation.images import dataset, jpegs
from parity_tests.support.evaluation.ports import port
from parity_tests.support.failing.killing import report
from vgg16_parity.evaluate.engines.cluster import Ray
from vgg16_parity.evaluate.engines.feeding import FedWorker, Feed, WorkerEnded
from vgg16_parity.evaluate.identity import runtime_facts
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.runtimes.shards import Plan
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import recipe_of

IMAGES = 281


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``parity_tests.support.evaluation.ray_cluster`` found."""
    return report("evaluation.ray_cluster", tmp_path_factory.mktemp("ray"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="nodes are killed as on Linux")
class TestOnACluster:
    def test_results_are_the_plain_engines_though_a_node_was_killed(
        self, found: dict[str, Any]
    ) -> None:
        assert found["statuses"] == [["measured", ""]] * 3
        # Both nodes computed, and one was killed; what it had begun was computed again.
        assert found["killed"] in found["nodes"]
        assert len(found["nodes"]) == 2
        assert found["equal"]
        # The description, five shards, and as many results of three runtimes.
        assert found["results"] == 1 + 5 + 3 * 5
        assert found["facts"] == [[True, True]] * 3

    def test_nothing_else_is_left_or_printed(self, found: dict[str, Any]) -> None:
        assert found["left"] == []
        assert not found["pixels"]
        assert found["printed"] == ""

    def test_pictures_that_are_none_are_named(self, found: dict[str, Any]) -> None:
        assert found["unreadable"] == ["20.jpg", "281.jpg"]

    def test_either_engine_finishes_what_the_other_left(self, found: dict[str, Any]) -> None:
        assert found["computed after ray"] == [64, IMAGES - 1]
        assert found["computed after plain"] == [64, IMAGES - 1]
        assert found["finished after ray"]
        assert found["finished after plain"]

    def test_what_a_runtime_cannot_do_is_a_record_and_others_go_on(
        self, found: dict[str, Any]
    ) -> None:
        broken, crashing, whole = found["failing"]
        assert broken == ["failed", "ValueError: no kernel"]
        assert crashing[0] == "failed"
        assert crashing[1].startswith("the worker was killed by signal 11")
        assert whole == ["measured", ""]


@pytest.mark.slow
def test_an_address_without_a_cluster_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    code = """if True:
        import sys
        from parity_tests.support.evaluation.images import dataset, jpegs
        from vgg16_parity.evaluate.engines.cluster import Ray
        from vgg16_parity.evaluate.run import evaluate
        from vgg16_spec.checkpoint.seeded import seeded_checkpoint
        from vgg16_spec.errors import BadInput
        for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
            try:
                evaluate(dataset(jpegs(1)), seeded_checkpoint("tiny"), [], sys.argv[1],
                         engine=Ray(address))
            except BadInput as error:
                print(error)
    """
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code.replace("sys.argv[1]", f"__import__('pathlib').Path({str(tmp_path / 'run')!r})"),
        ],
        env=os.environ
        | {"RAY_TMPDIR": str(tmp_path), "RAY_gcs_rpc_server_reconnect_timeout_s": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    expected = "expected auto on a node of a running cluster, or HOST:PORT of its head"
    assert len(lines) == 2
    assert lines[0].startswith("the address 127.0.0.1:1: is of no cluster (")
    assert lines[1].startswith("the address: is 'ray://127.0.0.1:1'; ")
    assert all(expected in line for line in lines)


def test_without_ray_the_remedy_is_named(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r'needs Ray.*pip install "vgg16-parity\[ray\]"'):
        evaluate(dataset(jpegs(1)), tiny, [], tmp_path / "run", engine=Ray())


def test_an_actor_has_a_processor(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^the processors of an actor: are 0; expected 1 or more$"):
        evaluate(dataset(jpegs(1)), tiny, [], tmp_path / "run", engine=Ray(cpus=0))


def feed(runtime: Runtime, tiny: Checkpoint, **changed: Any) -> Feed:
    job = Job("shards", runtime, "strict", str(tiny.path), "", depth="logits")
    plan = Plan(recipe_of("torchvision"), 16, 1000, ())
    return replace(Feed(job, plan, runtime_facts(runtime), 1, "", None), **changed)


def pixels(tmp_path: Path, count: int, size: int) -> bytes:
    file = tmp_path / "given.npy"
    np.save(file, np.full((count, size, size, 3), count, np.uint8))
    return file.read_bytes()


def test_a_node_with_other_versions_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    ours = port(tmp_path)
    facts = runtime_facts(ours)
    facts["versions"] = facts["versions"] | {"numpy": "1.0"}
    worker = FedWorker(feed(ours, tiny, facts=facts), tmp_path)
    with pytest.raises(WorkerEnded, match=r"^there is numpy \S+, not 1\.0 on "):
        worker.compute(b"")


def test_a_node_with_other_code_of_the_users_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    wanted = feed(port(tmp_path), tiny)
    port(tmp_path, more="logits += 1")
    with pytest.raises(WorkerEnded, match=r"^thinned:run is another one on "):
        FedWorker(wanted, tmp_path).compute(b"")


@pytest.mark.slow
def test_a_worker_is_fed_shards_one_by_one_and_ends_when_it_takes_too_long(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    place, size = tmp_path / "place", tiny.configuration.input_size
    place.mkdir()
    worker = FedWorker(feed(port(tmp_path, pause=0.2), tiny, timeout=60.0), place)
    try:
        for count in (3, 1, 20):
            content, record = worker.compute(pixels(tmp_path, count, size))
            (tmp_path / "logits.npy").write_bytes(content)
            assert np.load(tmp_path / "logits.npy").shape == (count, 1000)
            assert record.seconds["run"] > 0
        assert {path.suffix for path in place.rglob("*")} == {"", ".json", ".txt"}
    finally:
        worker.close()
    slow = FedWorker(feed(port(tmp_path, "slow", pause=60.0), tiny, timeout=2.0), tmp_path)
    try:
        with pytest.raises(WorkerEnded, match=r"^the worker was stopped after 2 s$"):
            slow.compute(pixels(tmp_path, 1, size))
    finally:
        slow.close()


@pytest.mark.parametrize(
    ("threads", "own", "wanted"), [(1, "", "1"), (1, "3", "3"), (512, "", None)]
)
def test_a_worker_computes_in_as_many_threads_as_its_actor_has_processors(
    threads: int,
    own: str,
    wanted: str | None,
    tiny: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # as Ray sets it
    monkeypatch.setattr("vgg16_parity.evaluate.engines.feeding.cores", lambda: 4)
    variables = feed(port(tmp_path), tiny, threads=threads, own_threads=own).environment()
    assert variables.get("OMP_NUM_THREADS") == wanted
    assert variables.get("VGG16_THREADS") == ("1" if wanted == "1" else None)

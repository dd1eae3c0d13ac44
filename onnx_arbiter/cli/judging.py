"""What the command line judges: where values come from, and which options exclude each other."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from onnx_arbiter.against.files import compare_graphs
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.cli.console import counting, say, shape_text, working
from onnx_arbiter.graph import Array
from onnx_arbiter.judge.guilty import Guilty
from onnx_arbiter.judge.records import Report, Run
from onnx_arbiter.judge.repro import write_repro
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.models.inputs import parse_shapes, read_arrays
from onnx_arbiter.models.network import Network
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.ports.from_file import FilePort, comparable, port_of
from onnx_arbiter.report.files import check_files
from onnx_arbiter.runtimes import registry
from onnx_arbiter.runtimes.runtime import observe
from vgg16_spec.errors import BadInput, counted, few, require_file, require_one_of
from vgg16_spec.files.atomic import check_writable, whole_file

_DEFAULT_RUNTIME = "onnxruntime"
_AN_ONNX_FILE = "an ONNX model (.onnx)"
_REPRO_FILES = ("node.onnx", "inputs.npz", "arbiter.npz", "observed.npz", "run.py")


@dataclass(frozen=True)
class Asked:
    """The options, as they were given; ``reported`` says whether any asks for a report."""

    model: Path
    inputs: Path | None
    outputs: Path | None
    against: Path | None
    port: str | None
    runtime: str | None
    mode: str
    shapes: tuple[str, ...]
    seed: int | None
    save_inputs: Path | None
    repro: Path | None
    reported: bool

    @property
    def sources(self) -> dict[str, object]:
        """The options given that say what is judged."""
        named = {
            "--outputs": self.outputs,
            "--against": self.against,
            "--port": self.port,
            "--runtime": self.runtime,
        }
        return {option: value for option, value in named.items() if value is not None}

    @property
    def anything_to_judge(self) -> bool:
        """Whether more was asked for than to write the seeded inputs."""
        return self.save_inputs is None or self.reported or bool(self.sources)

    def check(self, files: Mapping[str, Path]) -> None:
        """Refuse what makes no sense, and files that cannot be read or written.

        Raises:
            BadInput: one option excludes another, a file is missing, or one cannot be written.
        """
        require_one_of("--mode", self.mode, tuple(MODES))
        if len(names := list(self.sources)) > 1:
            problem = f"cannot be combined with {few(names[1:])}"
            raise BadInput(names[0], problem, "one thing to judge at a time")
        if self.against is not None and self.repro is not None:
            problem = "writes what a run computed: it cannot be combined with --against"
            raise BadInput("--repro", problem, "one of the two")
        seeded = {"--seed": self.seed is not None, "--shape": bool(self.shapes)}
        seeded["--save-inputs"] = self.save_inputs is not None
        if self.inputs is not None and (odd := [name for name, given in seeded.items() if given]):
            problem = "is of seeded inputs: it cannot be combined with --inputs"
            raise BadInput(odd[0], problem, "one of the two")
        if self.outputs is not None and self.inputs is None and self.seed is None:
            problem = "from which inputs they were computed is not said"
            expected = "--inputs FILE.npz, or --seed N where --save-inputs wrote them"
            raise BadInput("--outputs", problem, expected)
        read = [require_file(self.model, _AN_ONNX_FILE)]
        if self.against is not None:
            read.append(require_file(self.against, _AN_ONNX_FILE))
        if self.port is not None:
            read.append(port_of(self.port)[0])
        if not self.sources or self.runtime is not None:
            registry.runtime(self.runtime or _DEFAULT_RUNTIME)
        read += [require_file(p, "an .npz file") for p in (self.inputs, self.outputs) if p]
        if self.save_inputs is not None:
            files = {"--save-inputs": self.save_inputs, **files}
        check_files(files, read)
        if self.repro is not None:
            _check_replaceable(self.repro)


def _check_replaceable(folder: Path) -> None:
    """Refuse a folder that holds anything but what an earlier run wrote there: it is replaced."""
    if not folder.exists():
        check_writable(folder)
    elif not folder.is_dir() or {path.name for path in folder.iterdir()} - set(_REPRO_FILES):
        raise BadInput("--repro", f"{folder} holds something else", "a new or an empty folder")


def opened(asked: Asked) -> Arbiter:
    """The arbiter of the model and its inputs; says on stderr which ones, if they are seeded."""
    given = None if asked.inputs is None else read_arrays(asked.inputs, "--inputs")
    seed = asked.seed or 0
    shapes = parse_shapes(list(asked.shapes))
    with working(f"read {asked.model.name}"):
        arbiter = Arbiter(asked.model, given, mode=asked.mode, shapes=shapes, seed=seed)
    if given is None:
        made = few((f"{printable(n)} {_text(v.shape)}" for n, v in arbiter.inputs.items()), 8)
        say(f"inputs: seed {seed}: {made} (--save-inputs FILE.npz writes them)")
    return arbiter


@dataclass(frozen=True)
class Found:
    """What was found: the report, and the node where a run goes wrong, if one does."""

    report: Report
    guilty: Guilty | None

    def write_repro(self, folder: Path) -> None:
        """Write that node as a model of its own; says on stderr which it is, or that there is none.

        Raises ``BadInput`` if it is no model of its own, or cannot be written.
        """
        if self.guilty is None:
            say(f"repro: no node is wrong, {folder} is not written")
            return
        write_repro(folder, self.guilty)
        node = self.guilty.step.node
        say(f"repro: {folder}: {node.operator} {printable(node.name)}, as {self.guilty.run} ran it")


def port_asked_for(asked: Asked) -> FilePort | None:
    """The port, if one is judged; its file has run, before a model is read that may be large.

    Raises ``BadInput`` if the file fails, or has no such function.
    """
    if asked.port is None:
        return None
    path, function = port_of(asked.port)
    with working(f"import {path.name}:{function}"):
        return FilePort.load(asked.port)


def judged(asked: Asked, arbiter: Arbiter, port: FilePort | None) -> Found:
    """Judge what was asked for.

    Args:
        asked: the options.
        arbiter: of the model.
        port: of `port_asked_for`.

    Raises:
        BadInput: a file, a port or a runtime has or computes nothing that can be judged.
    """
    if asked.against is not None:
        return Found(_compared(asked.against, arbiter), None)
    observed, guilty = _observed(asked, arbiter, port), list[Guilty]()
    with ExitStack() as stage:
        progress = stage.enter_context(counting("judge", "nodes"))

        def searching() -> AbstractContextManager[Callable[[int, int | None], None]]:
            stage.close()  # a terminal shows one bar at a time
            return counting("look for the cause", "seconds at most")

        report = arbiter.judge_runs(
            observed,
            progress=lambda done, total, _: progress(done, total),
            on_guilty=guilty.append,
            searching=searching,
        )
    if asked.outputs is not None or port is not None:
        report = replace(report, runs=tuple(_with_advice(run, arbiter) for run in report.runs))
    # A node that is wrong alone says more than a value that is.
    first = min(guilty, key=lambda found: not found.is_local, default=None)
    return Found(report, first)


def _with_advice(run: Run, arbiter: Arbiter) -> Run:
    """A run that is broken, with what would tell more if it gave few of the network's values."""
    nodes, given = len(arbiter.network.graph.nodes), len(run.rows)
    if run.status != "broken" or 2 * given > nodes:
        return run
    there = f"{counted(given, 'value')} of {nodes:,} nodes"
    advice = f"only {there} given: with more of them, the mistake is found nearer to its node"
    return replace(run, notes=(*run.notes, advice))


def _compared(other: Path, arbiter: Arbiter) -> Report:
    """Compare another file of the network with it, both in float64."""
    with working(f"read {other.name}"):
        network = Network.open(other)
    total, done = len(arbiter.network.graph.nodes) + len(network.graph.nodes), count()
    (folder := arbiter.folder / "against").mkdir()
    with counting("compare", "nodes") as progress:
        return compare_graphs(
            arbiter.network,
            network,
            arbiter.inputs,
            arbiter.mode,
            folder,
            progress=lambda *_: progress(next(done), total),
        )


def _observed(asked: Asked, arbiter: Arbiter, port: FilePort | None) -> list[Observed]:
    if asked.outputs is not None:
        arrays = read_arrays(asked.outputs, "--outputs")
        found = {name: comparable("--outputs", name, values) for name, values in arrays.items()}
        computed = list(found.values()) if set(found) == {""} else found
        return [Observed(asked.outputs.name, arbiter.named(computed))]
    if port is not None:
        name = f"{port.path.name}:{port.name}"
        with working(f"run {name}"):
            values = port.run(arbiter.inputs)
        return [Observed(name, arbiter.named(values))]
    return _run_runtime(asked.runtime or _DEFAULT_RUNTIME, arbiter)


def _run_runtime(name: str, arbiter: Arbiter) -> list[Observed]:
    runtime = registry.runtime(name)
    with working(f"run {name}"):
        return observe(arbiter.network, arbiter.inputs, runtime, arbiter.folder)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as an ``.npz`` file; a type that NumPy's files have not becomes float32.

    Raises ``BadInput`` if the file cannot be written.
    """
    # Not np.savez: it takes no array whose name is that of a parameter of its own.
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in arrays.items():
            known = values if values.dtype.kind in "biufc" else values.astype(np.float32)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, known, allow_pickle=False)


def _text(shape: tuple[int, ...]) -> str:
    return shape_text(shape) or "one number"

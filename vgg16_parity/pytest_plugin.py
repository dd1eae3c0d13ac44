"""For pytest: judge your own port of VGG16 in your own tests, and report what was judged.

The fixture ``vgg16_parity`` is a `Judge`; ``pytest --parity-report DIR`` writes
``report.json``, ``report.html`` and ``junit.xml`` of everything that the run judged, with and
without pytest-xdist. pytest imports this file wherever the project is installed, so that nothing
but pytest is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vgg16_parity.judged_ports import JudgedPort
    from vgg16_parity.own_port import Arbiter
    from vgg16_parity.records import Row
    from vgg16_spec.checkpoint import Checkpoint

_OPTION: Final = "--parity-report"
_PLUGIN: Final = "vgg16-parity-report"
# What a test's report carries from the process that ran the test to the one that writes.
_CARRIED: Final = "vgg16_parity_judged"


class Judge:
    """Judges ports by the arbiter, which runs once for each checkpoint and numeric mode.

    ``weights`` are a ``vgg16_spec.checkpoint.checkpoint.Checkpoint``, a file (canonical, a PyTorch state dict,
    Keras's ``.weights.h5``), or ``seeded`` or ``seeded:N``; ``configuration`` is that of seeded
    weights, ``D`` unless given.
    """

    def __init__(self) -> None:
        self._arbiters: dict[object, Arbiter] = {}
        self._rows: list[tuple[Arbiter, Row]] = []

    def checkpoint(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> Checkpoint:
        """The weights by canonical name, as NumPy; where they are in a file, ``file`` is its path.

        Raises ``BadInput`` for what is no checkpoint.
        """
        return self._arbiter(weights, configuration).checkpoint

    def images(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> NDArray[np.float32]:
        """What to run the port on: the photographs by the weights' own recipe, (N, 3, H, W)."""
        return self._arbiter(weights, configuration).images

    def given(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """What to run each layer alone on: tap -> what the layer after it reads, as NCHW."""
        return self._arbiter(weights, configuration).given

    def __call__(
        self,
        name: str,
        computed: NDArray[Any] | Mapping[str, NDArray[Any]],
        weights: Checkpoint | str | Path = "seeded",
        *,
        configuration: str | None = None,
        layers: Mapping[str, NDArray[Any]] | None = None,
        mode: str = "float32",
    ) -> Row:
        """Judge what a port computed of `images`; the row says by how much it holds.

        Args:
            name: what the report calls the port.
            computed: logits (N, classes), or taps by name in which ``predictions`` are the logits.
            weights: what the port computed with.
            configuration: which network.
            layers: what each layer made of `given`, under the names of ``computed``.
            mode: ``float32``, ``tf32``, ``bfloat16`` or ``float16``: what the port computes in.

        Raises ``AssertionError`` that names the first wrong layer where the port does not hold, and
        ``BadInput`` for what cannot be judged.
        """
        __tracebackhide__ = True
        from vgg16_parity.own_port import explain

        arbiter = self._arbiter(weights, configuration)
        row = arbiter.judge(name, computed, layers=layers, mode=mode)
        self._rows.append((arbiter, row))
        if row.status != "holds":
            raise AssertionError(explain(row))
        return row

    def taken(self, test: str) -> list[JudgedPort]:
        """What was judged since the last call, as that of a test."""
        from vgg16_parity.judged_ports import JudgedPort

        rows, self._rows = self._rows, []
        return [
            JudgedPort(test, number, arbiter.report([row]), arbiter.files)
            for number, (arbiter, row) in enumerate(rows)
        ]

    def close(self) -> None:
        """Remove what the arbiters keep."""
        for arbiter in self._arbiters.values():
            arbiter.close()
        self._arbiters.clear()

    @property
    def waiting(self) -> bool:
        """Whether something was judged since `taken`."""
        return bool(self._rows)

    def _arbiter(self, weights: Checkpoint | str | Path, configuration: str | None) -> Arbiter:
        from vgg16_parity.own_port import Arbiter, checkpoint_of

        # A checkpoint is a mapping, which has no hash; the arbiter keeps it, so that its id stays.
        known = (weights if isinstance(weights, str | Path) else id(weights), configuration)
        if known not in self._arbiters:
            self._arbiters[known] = Arbiter(checkpoint_of(weights, configuration))
        return self._arbiters[known]


class _Reporting:
    """Collects what tests judged, here or in other processes, and writes it at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # By test and phase, so that a test that is run again counts once.
        self.judged: dict[tuple[str, str], list[str]] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if carried := getattr(report, _CARRIED, None):
            self.judged[report.nodeid, report.when or ""] = carried

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from vgg16_parity.judged_ports import JudgedPort, write
        from vgg16_spec.errors import BadInput

        judged = [JudgedPort.of_text(text) for texts in self.judged.values() for text in texts]
        if not judged:
            terminalreporter.write_line("vgg16 parity: nothing was judged, no report is written")
            return
        try:
            written = write(judged, self.folder)
        except BadInput as error:
            pytest.exit(f"{_OPTION}: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
        broken = sum(not one.report.holds for one in judged)
        terminalreporter.write_line(
            f"vgg16 parity: {len(judged)} judged, {broken} broken; "
            f"written: {', '.join(map(str, written))}"
        )


class _Carrying:
    """Hands what a test has judged to its report, which every process's controller sees."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self.judge.waiting:
            texts = [judged.to_text() for judged in self.judge.taken(item.nodeid)]
            setattr(report, _CARRIED, texts)
        return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--parity-report``."""
    parser.getgroup("vgg16 parity").addoption(
        _OPTION,
        metavar="DIR",
        help="Write report.json, report.html and junit.xml of every port that the tests judged.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a folder that cannot be written before any test runs."""
    given = config.getoption(_OPTION)
    if given is None or hasattr(config, "workerinput"):  # the controller of pytest-xdist writes
        return
    from vgg16_spec.errors import BadInput
    from vgg16_spec.files.atomic import check_writable

    folder = config.invocation_params.dir / given
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / "report.json")
    except BadInput as error:
        raise pytest.UsageError(f"{_OPTION} {given}: {error}") from error
    except OSError as error:
        problem = f"{folder} cannot be made a folder ({error.strerror})"
        raise pytest.UsageError(f"{_OPTION} {given}: {problem}") from error
    config.pluginmanager.register(_Reporting(folder), _PLUGIN)


@pytest.fixture(scope="session")
def vgg16_parity(pytestconfig: pytest.Config) -> Iterator[Judge]:
    """Judges your port of VGG16 by a float64 arbiter (``docs/your-port.md``)."""
    judge = Judge()
    carrying = _Carrying(judge)
    if pytestconfig.getoption(_OPTION) is not None:
        pytestconfig.pluginmanager.register(carrying)
    yield judge
    if pytestconfig.pluginmanager.is_registered(carrying):
        pytestconfig.pluginmanager.unregister(carrying)
    judge.close()

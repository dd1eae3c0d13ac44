"""For pytest: judge your own port of VGG16 in your own tests, and report what was judged.

The fixture ``vgg16_parity`` is a `Judge`; ``pytest --parity-report DIR`` writes
``report.json``, ``report.html`` and ``junit.xml`` of every judged port, with and without
pytest-xdist. pytest imports this file wherever the project is installed, so it imports nothing but
pytest until a test asks for the fixture.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vgg16_parity.own_port import Arbiter
    from vgg16_parity.records import Row
    from vgg16_spec.checkpoint import Checkpoint

_OPTION: Final = "--parity-report"
# The attribute of a test's report that carries its judged ports from a worker to the controller.
_CARRIED: Final = "vgg16_parity_judged"


class Judge:
    """Judges ports by the arbiter, which runs once per checkpoint and numeric mode.

    Every method takes the same ``weights``: a ``vgg16_spec.checkpoint.Checkpoint``, a file of any
    format of ``vgg16_weights``, or ``seeded`` or ``seeded:N``; and the same ``configuration``: the
    network of seeded weights, ``D`` by default. Each raises ``BadInput`` for invalid weights.
    """

    def __init__(self) -> None:
        self._arbiters: dict[object, Arbiter] = {}
        self._rows: list[tuple[Arbiter, Row]] = []

    def checkpoint(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> Checkpoint:
        """The weights as NumPy arrays by canonical name; ``file`` is the path of their file."""
        return self._arbiter(weights, configuration).checkpoint

    def images(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> NDArray[np.float32]:
        """The port's input: photographs, preprocessed for these weights, (N, 3, H, W)."""
        return self._arbiter(weights, configuration).images

    def given(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """The input of each layer run alone: tap -> what the layer after it reads, as NCHW."""
        return self._arbiter(weights, configuration).given

    def probes(
        self, weights: Checkpoint | str | Path = "seeded", configuration: str | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Dense inputs that light every unit: layer -> its own input if it runs alone, as NCHW."""
        return self._arbiter(weights, configuration).probes

    def __call__(
        self,
        name: str,
        computed: NDArray[Any] | Mapping[str, NDArray[Any]],
        weights: Checkpoint | str | Path = "seeded",
        *,
        configuration: str | None = None,
        layers: Mapping[str, NDArray[Any]] | None = None,
        probes: Mapping[str, NDArray[Any]] | None = None,
        mode: str = "float32",
    ) -> Row:
        """Judge what a port computed of `images`.

        Args:
            name: the port's name in the report.
            computed: logits (N, classes), or taps by name; the tap ``predictions`` is the logits.
            weights: the weights that the port computed with.
            configuration: their network.
            layers: what each layer computed of `given`, under the names of ``computed``.
            probes: what each layer computed of its own of `probes`, by the layer's name.
            mode: the port's arithmetic: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.

        Returns:
            The report's row, with the errors of every tap.

        Raises:
            AssertionError: if the port is wrong; the message names the first wrong layer.
            BadInput: for values that cannot be judged.
        """
        __tracebackhide__ = True
        from vgg16_parity.own_port import explain

        arbiter = self._arbiter(weights, configuration)
        row = arbiter.judge(name, computed, layers=layers, probes=probes, mode=mode)
        self._rows.append((arbiter, row))
        if row.status != "holds":
            raise AssertionError(explain(row))
        return row

    def taken(self) -> list[str]:
        """Report and pictures of each port judged since the last call, for another process."""
        if not self._rows:
            return []
        from vgg16_parity.report.json import encode

        rows, self._rows = self._rows, []
        return [json.dumps([encode(arbiter.report([row])), arbiter.files]) for arbiter, row in rows]

    def close(self) -> None:
        """Remove the arbiters' temporary files."""
        for arbiter in self._arbiters.values():
            arbiter.close()
        self._arbiters.clear()

    def _arbiter(self, weights: Checkpoint | str | Path, configuration: str | None) -> Arbiter:
        from vgg16_parity.own_port import Arbiter, checkpoint_of

        # A checkpoint has no hash. The arbiter keeps it alive, so that its id stays its own.
        known = (weights if isinstance(weights, str | Path) else id(weights), configuration)
        if known not in self._arbiters:
            self._arbiters[known] = Arbiter(checkpoint_of(weights, configuration))
        return self._arbiters[known]


_JUDGE: Final = pytest.StashKey[Judge]()


class _Reporting:
    """Collects the ports that tests judged in any process, and writes them at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # By test and phase: a test that is run again counts once.
        self.judged: dict[tuple[str, str], list[str]] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if carried := getattr(report, _CARRIED, None):
            self.judged[report.nodeid, report.when or ""] = carried

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.judged:
            terminalreporter.write_line("vgg16 parity: no port was judged; no report is written")
            return
        from vgg16_parity.records import Report
        from vgg16_parity.report.files import write_reports
        from vgg16_parity.report.schema import decode
        from vgg16_spec.errors import BadInput
        from vgg16_spec.text import visible

        # In the order of the tests' ids, however many processes ran them.
        tests = sorted(self.judged, key=itemgetter(0))
        judged = [
            (decode(Report, report), list(map(Path, pictures)))
            for test in tests
            for report, pictures in map(json.loads, self.judged[test])
        ]
        try:
            written = write_reports(judged, self.folder)
        except BadInput as error:
            pytest.exit(f"{_OPTION}: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
        broken = sum(not report.holds for report, _ in judged)
        terminalreporter.write_line(
            f"vgg16 parity: {len(judged)} judged, {broken} broken; "
            f"written: {visible(', '.join(map(str, written)))}"
        )


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
    if given is None or hasattr(config, "workerinput"):  # only pytest-xdist's controller writes
        return
    from vgg16_spec.errors import BadInput
    from vgg16_spec.files.atomic import check_writable
    from vgg16_spec.text import visible

    folder = config.invocation_params.dir / given
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / "report.json")
    except BadInput as error:
        raise pytest.UsageError(f"{_OPTION} {visible(given)}: {error}") from error
    except OSError as error:
        problem = visible(f"{given}: cannot create the folder {folder} ({error.strerror})")
        raise pytest.UsageError(f"{_OPTION} {problem}") from error
    config.pluginmanager.register(_Reporting(folder), "vgg16-parity-report")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the ports that a test judged to its report, which reaches the controller."""
    report = yield
    judge = item.config.stash.get(_JUDGE, None)
    if judge is not None and item.config.getoption(_OPTION) is not None:
        setattr(report, _CARRIED, judge.taken())
    return report


@pytest.fixture(scope="session")
def vgg16_parity(pytestconfig: pytest.Config) -> Iterator[Judge]:
    """Judges your port of VGG16 by a float64 arbiter (``docs/your-port.md``)."""
    judge = pytestconfig.stash[_JUDGE] = Judge()
    yield judge
    judge.close()

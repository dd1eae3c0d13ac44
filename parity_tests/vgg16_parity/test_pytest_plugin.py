"""The pytest plugin, in test runs of their own: judged, reported, with and without pytest-xdist."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REPORTS = ["junit.xml", "report.html", "report.json"]

# A port whose values are the arbiter's own, rounded, and from a spoiled layer on too large: without
# a framework to import, a run takes a second.
PORT = """
import numpy as np
import pytest
from vgg16_parity.network import reference


def port(parity, weights, spoiled=""):
    checkpoint = parity.checkpoint(weights, "tiny")
    taps = reference.run_with_taps(checkpoint, parity.images(weights, "tiny"))
    assert list(parity.given(weights, "tiny")) == list(taps)[:-1]
    layers = {name: values.astype(np.float32) for name, values in taps.items()}
    taps = dict(layers)
    for name in list(taps)[list(taps).index(spoiled):] if spoiled else ():
        taps[name] = taps[name] + np.float32(1e-3)
    if spoiled:
        layers[spoiled] = taps[spoiled]
    return taps, layers
"""
GOOD = """
@pytest.mark.parametrize("number", range(3))
def test_good(vgg16_parity, number):
    taps, layers = port(vgg16_parity, "seeded")
    row = vgg16_parity(f"good {number}", taps, configuration="tiny", layers=layers)
    assert row.status == "holds"
"""
BAD = """
def test_bad(vgg16_parity):
    taps, layers = port(vgg16_parity, "seeded", spoiled="block2_conv2")
    vgg16_parity("bad", taps, configuration="tiny", layers=layers)
"""
OTHER = """
def test_other_weights(vgg16_parity):
    taps, _ = port(vgg16_parity, "seeded:1")
    vgg16_parity("other", taps["predictions"], "seeded:1", configuration="tiny")
"""
WORKERS = pytest.mark.parametrize("workers", ["0", "2"])


@pytest.fixture
def tests(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder of somebody else's, without this project's settings for pytest."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def run(tests: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run tests in a process of their own: this one's has the plugin's modules loaded."""
    tests.makepyfile(test_port=PORT + source)
    return tests.runpytest_subprocess("-q", *options)


def document(tests: pytest.Pytester, name: str = "report") -> dict[str, object]:
    text = (tests.path / "out" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, object] = json.loads(text)
    return found


@WORKERS
def test_ports_that_hold_pass_and_are_reported(tests: pytest.Pytester, workers: str) -> None:
    result = run(tests, GOOD, "-n", workers, "--parity-report", "out")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["vgg16 parity: 3 judged, 0 broken; written: *report.json, *"])
    assert sorted(file.name for file in (tests.path / "out").iterdir()) == REPORTS
    report = document(tests)
    assert report["holds"] is True
    rows = report["rows"]
    assert isinstance(rows, list)
    assert [row["runtime"] for row in rows] == ["good 0", "good 1", "good 2"]
    assert len(rows[0]["cases"][0]["layers"]) == 21
    assert rows[0]["cases"][0]["layers"][0]["local"]["passed"] is True
    assert "good 2" in (tests.path / "out" / "report.html").read_text(encoding="utf-8")


@WORKERS
def test_a_users_own_folders_of_our_names_are_left_alone(
    tests: pytest.Pytester, workers: str
) -> None:
    for name in ("vgg16", "weights", "arbiter"):
        tests.makepyfile(**{name: f"raise ImportError('the user's {name}.py')"})
    for name in ("vgg16", "parity", "export", "drawing", "arbiter", "keras_impl", "torch_impl"):
        (tests.path / name).mkdir()
        raising = f"raise ImportError('the user's {name}/')"
        (tests.path / name / "__init__.py").write_text(raising)
    # `python -m pytest` puts the user's folder first on the path, before the plugin is loaded.
    tests.makepyfile(test_port=PORT + GOOD)
    options = ("-q", "-p", "no:cacheprovider", "-n", workers, "--parity-report", "out")
    result = tests.run(sys.executable, "-m", "pytest", *options)
    result.assert_outcomes(passed=3)
    assert sorted(file.name for file in (tests.path / "out").iterdir()) == REPORTS


@WORKERS
def test_a_port_that_is_wrong_fails_and_its_layer_is_named(
    tests: pytest.Pytester, workers: str
) -> None:
    result = run(tests, GOOD + BAD, "-n", workers, "--parity-report", "out")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E   * bad (float32): broken",
            "E    *block2_conv2, given the arbiter's input: photographs: errors are *",
            "E    *block2_conv1 *",
            "E    *block2_conv2 * WRONG; alone * WRONG",
            "E    *block2_pool * WRONG; alone * deviations",
        ],
        consecutive=False,
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")
    report = document(tests)
    assert report["holds"] is False
    rows = report["rows"]
    assert isinstance(rows, list)
    assert [(row["runtime"], row["first_wrong"]) for row in rows if row["status"] != "holds"] == [
        ("bad", "block2_conv2")
    ]
    root = ElementTree.parse(tests.path / "out" / "junit.xml").getroot()
    failed = [
        suite.get("name") for suite in root.iter("testsuite") if int(suite.get("failures", 0))
    ]
    assert failed == ["bad (float32)"]


def test_without_the_option_nothing_is_written(tests: pytest.Pytester) -> None:
    result = run(tests, GOOD)
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*vgg16 parity:*")
    assert not (tests.path / "out").exists()


def test_each_checkpoint_has_a_report_of_its_own(tests: pytest.Pytester) -> None:
    run(tests, GOOD + OTHER, "--parity-report", "out").assert_outcomes(passed=4)
    sources = []
    for name in ("report", "report-2"):
        found = document(tests, name)
        judged, weights = found["rows"], found["weights"]
        assert isinstance(judged, list)
        assert isinstance(weights, dict)
        sources.append((weights["metadata"]["source"], len(judged)))
    assert sorted(sources) == [("seeded (version 1, seed 0)", 3), ("seeded (version 1, seed 1)", 1)]


def test_what_was_judged_is_kept_where_a_worker_crashes(tests: pytest.Pytester) -> None:
    crash = "\n\ndef test_zz_crash():\n    import os\n    os._exit(1)\n"
    result = run(tests, GOOD + crash, "-n1", "--max-worker-restart=0", "--parity-report", "out")
    assert result.ret != 0
    rows = document(tests)["rows"]
    assert isinstance(rows, list)
    assert len(rows) == 3


def test_a_run_that_judges_nothing_says_so(tests: pytest.Pytester) -> None:
    result = run(tests, "\ndef test_nothing():\n    pass\n", "--parity-report", "out")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["vgg16 parity: no port was judged; no report is written"])
    assert not list((tests.path / "out").iterdir())


@pytest.mark.parametrize("folder", ["file", "file/below", "file/\x1b31m\u202e\n"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_tests(
    tests: pytest.Pytester, folder: str
) -> None:
    (tests.path / "file").write_text("mine")
    result = run(tests, GOOD, "--parity-report", folder)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    named = folder.encode("unicode_escape").decode()
    result.stderr.fnmatch_lines([f"ERROR: --parity-report {named}: cannot create the folder *"])
    result.stdout.no_fnmatch_line("*passed*")
    assert (tests.path / "file").read_text() == "mine"


def test_a_folder_that_vanishes_is_told_at_the_end(tests: pytest.Pytester) -> None:
    vanish = "\n\ndef test_z():\n    import shutil\n    shutil.rmtree('out')\n"
    result = run(tests, GOOD + vanish, "--parity-report", "out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--parity-report: *out: no such folder*"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("vgg16_parity('x', {'fc1': 1}, configuration='tiny')", "*x: gave no predictions*"),
        ("vgg16_parity('x', [[0.0]], configuration='tiny', mode='fp8')", "*'fp8' is unknown*"),
        (
            "vgg16_parity('x', {'predictions': [[0.0]]}, configuration='tiny', layers={'fc1': 0})",
            "*layers alone and taps are not the same: fc1, predictions*",
        ),
        (
            "vgg16_parity('x', [[0j] * 1000] * 2, configuration='tiny')",
            "*from predictions on: photographs: its values are complex128, not real numbers*",
        ),
        (
            "vgg16_parity('x', [[0.0]], configuration='tiny', layers={})",
            "*layers alone and taps are not the same: predictions*",
        ),
        ("vgg16_parity('x', [[0.0]], configuration='tiny', probes={})", "*x: probes: none given*"),
        (
            "vgg16_parity('x', [[float('nan')] * 1000] * 2, configuration='tiny')",
            "*from predictions on: photographs: 2000 of its 2000 values are not finite*",
        ),
        ("vgg16_parity('x', [[0.0]], 'none.pth')", "*none.pth: no such file*"),
        ("vgg16_parity('x', [[0.0]], configuration='F')", "*'F' is unknown*"),
        (
            "vgg16_parity('x', [[0.0]], configuration='tiny')",
            "*from predictions on: photographs: its shape is (1, 1), the arbiter's is (2, 1000)*",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(tests: pytest.Pytester, call: str, message: str) -> None:
    result = run(tests, f"\ndef test_it(vgg16_parity):\n    {call}\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])


def test_the_plugin_imports_no_framework_and_no_numpy() -> None:
    code = (
        "import sys, vgg16_parity.pytest_plugin; "
        "print([m for m in ('numpy', 'torch', 'keras', 'tensorflow', 'onnx', 'jax') "
        "if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"

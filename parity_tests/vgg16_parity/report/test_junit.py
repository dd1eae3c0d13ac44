"""JUnit XML: what CI shows of a report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml

from parity_tests.support.helpers import Command
from parity_tests.support.pages.reports import everything, report, row
from vgg16_parity.records import Report
from vgg16_parity.report import junit


def written(made: Report) -> ElementTree.Element:
    return ElementTree.fromstring(junit.text(made))


def results(root: ElementTree.Element, suite: str) -> dict[str, str]:
    """Test -> its result's tag, of one suite; ``passed`` where there is none."""
    (found,) = [each for each in root if each.get("name") == suite]
    return {
        f"{test.get('classname')} {test.get('name')}": next(
            (child.tag for child in test if child.tag in ("failure", "error", "skipped")), "passed"
        )
        for test in found.iter("testcase")
    }


def test_a_suite_is_a_run_and_a_test_is_a_tap_of_a_case() -> None:
    root = written(report())
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "5", "0")
    assert results(root, "torch (strict)") == {
        "torch.strict.photographs block1_conv1 accumulated": "passed",
        "torch.strict.photographs block1_conv1 local": "passed",
        "torch.strict.photographs predictions accumulated": "passed",
        "torch.strict.photographs predictions local": "passed",
        "torch.strict.photographs decisions": "passed",
    }
    assert [each.get("time") for each in root] == ["1.75"]


def test_failures_tell_the_reason() -> None:
    root = written(everything())
    assert results(root, "keras-jax (strict)") == {
        "keras-jax.strict.photographs block1_conv1 accumulated": "failure",
        "keras-jax.strict.photographs block1_conv1 local": "failure",
        "keras-jax.strict.photographs predictions accumulated": "failure",
        "keras-jax.strict.photographs decisions": "failure",
        "keras-jax.strict.NaN decisions": "passed",
    }
    messages = [failure.get("message") for failure in root.iter("failure")]
    assert "errors are 5 times the predicted size (limit 2)" in messages
    assert "chelsea.png is of another class, and not by the allowed error" in messages
    assert any("ratio inf" in (failure.text or "") for failure in root.iter("failure"))
    assert [out.text for out in root.iter("system-out")] == [
        "one NaN: nothing of it is left at block1_pool"
    ]


def test_a_run_that_failed_is_an_error() -> None:
    root = written(everything())
    assert results(root, "keras-torch (strict)") == {"keras-torch.strict run": "error"}
    (error,) = root.iter("error")
    assert error.get("message") == "the worker was killed by signal 9"


def test_a_run_that_was_not_started_is_skipped_unless_it_was_asked_for() -> None:
    name = "onnx-from-torch (strict)"
    skipped = written(everything())
    assert results(skipped, name) == {"onnx-from-torch.strict run": "skipped"}
    required = written(dataclasses.replace(everything(), all_required=True))
    assert results(required, name) == {"onnx-from-torch.strict run": "failure"}


def test_gradients_are_tests_too() -> None:
    found = results(written(everything()), "torch (default)")
    assert found["torch.default.velocity predictions.weight velocity"] == "passed"
    assert "torch.default.velocity images velocity" not in found


def test_the_counts_are_those_of_the_tests() -> None:
    root = written(everything())
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.get(count, "-1")) == len([*root.iter(tag)]) > 0
    assert int(root.get("tests", "-1")) == len([*root.iter("testcase")])


def test_rows_of_one_name_are_suites_of_their_own() -> None:
    root = written(report(row(), row()))
    assert [suite.get("name") for suite in root] == ["torch (strict)"] * 2
    assert root.get("tests") == "10"


def test_what_xml_cannot_write_is_escaped() -> None:
    made = report(row("a\x00\x1b<&>\udcff", status="failed", reason="]]>\x08", cases=()))
    (suite,) = written(made)
    assert suite.get("name") == r"a\x00\x1b<&>\udcff (strict)"


@pytest.mark.slow
def test_a_real_run_writes_what_the_library_reads(vgg16: Command, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    arguments = ("--configuration", "tiny", "--runtimes", "torch", "--quick")
    assert vgg16("parity", *arguments, "--junit", file).status == 0
    suites = JUnitXml.fromfile(str(file))
    assert [suite.name for suite in suites] == ["torch (strict)"]
    assert (suites.tests, suites.failures) == (2, 0)

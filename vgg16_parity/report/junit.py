"""A report as JUnit XML, which CI systems show test by test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from onnx_arbiter.compare import Verdict
from vgg16_parity.records import CaseVerdict, Report, Row
from vgg16_parity.report.charts import KINDS, iter_verdicts

# What XML 1.0 has no way to write, and what UTF-8 has none for.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> JUnitXml:
    """A suite for each runtime, lane and device, in it a test for each case, tap and kind.

    A tap outside its limits is a failure, and so is what else is wrong with a case; a row that
    failed is one error; a row that was not run is one skipped test, or a failure where the runtimes
    were asked for by name. What is noted and breaks nothing is the test's output.
    """
    document = JUnitXml("vgg16 parity")
    for row in report.rows:
        document.add_testsuite(_suite(row, required=report.counts(row)))
    document.update_statistics()
    # It sums up the times of the tests, which have none of their own.
    for suite, row in zip(document, report.rows, strict=True):
        suite.time = round(sum(row.record.seconds.values()), 3) if row.record else 0.0
    document.time = round(sum(suite.time for suite in document), 3)
    return document


def write(report: Report, path: Path) -> None:
    """Write the report to a file as JUnit XML."""
    junit(report).write(str(path), pretty=True)


def _suite(row: Row, *, required: bool) -> TestSuite:
    suite = TestSuite(_clean(row.name))
    suite.add_property("mode", row.mode)
    if row.record is not None:
        facts = {"device": row.record.device, "threads": str(row.record.threads)}
        if row.record.repeats:
            facts["repeats"] = row.record.repeats
        for name, value in (facts | row.record.versions | row.record.flags).items():
            suite.add_property(_clean(name), _clean(value))
    if row.status == "not run":
        result = Failure if required else Skipped
        suite.add_testcase(_test(row, "", "run", result(_clean(row.reason), "not run")))
    elif row.status == "failed":
        suite.add_testcase(_test(row, "", "run", Error(_clean(row.reason), "failed")))
    for kind in KINDS:
        for case, name, verdict in iter_verdicts(row, kind):
            suite.add_testcase(_test(row, case, f"{name} {kind}", *_failures(verdict)))
    for compared in row.cases:
        suite.add_testcase(_decisions(row, compared))
    return suite


def _decisions(row: Row, case: CaseVerdict) -> TestCase:
    failures = [Failure(_clean(case.reason), "decision")] if case.reason else []
    test = _test(row, case.case, "decisions", *failures)
    if case.notes:
        test.system_out = _clean("\n".join(case.notes))
    return test


def _failures(verdict: Verdict) -> list[Failure]:
    if verdict.passed:
        return []
    failure = Failure(_clean(verdict.reason), "limit")
    failure.text = (
        f"ratio {verdict.ratio:.6g}, deviations {verdict.deviations:.6g} at {verdict.worst}, "
        f"largest error {verdict.max_error:.6g}"
    )
    return [failure]


def _test(row: Row, case: str, name: str, *results: Any) -> TestCase:
    # Of a class name the part after the last dot is what most viewers show.
    parts = [part.replace(".", "_") for part in (row.runtime, row.setting, case) if part]
    test = TestCase(_clean(name), _clean(".".join(parts)))
    test.result = list(results)
    return test


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("�", text)

"""A report as JUnit XML, which CI systems show test by test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from onnx_arbiter.compare import Verdict
from vgg16_parity.records import KINDS, Report, Row, iter_verdicts

# Characters that XML 1.0 or UTF-8 cannot write.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> JUnitXml:
    """A suite for each runtime, lane and device; in it a test for each case, tap and kind.

    A tap outside its limits is a failure, and so is anything else wrong with a case. A row that
    failed is an error. A row that was not run is skipped, or a failure if runtimes were named.
    Notes are a test's output.
    """
    document = JUnitXml("vgg16 parity")
    for row in report.rows:
        document.add_testsuite(_suite(row, required=report.counts(row)))
    document.update_statistics()
    # The statistics sum up the times of the tests, which have none of their own.
    for suite, row in zip(document, report.rows, strict=True):
        suite.time = round(sum(row.record.seconds.values()), 3) if row.record else 0.0
    document.time = round(sum(suite.time for suite in document), 3)
    return document


def write(report: Report, path: Path) -> None:
    """Write the report to a file as JUnit XML."""
    junit(report).write(str(path), pretty=True)


def _suite(row: Row, *, required: bool) -> TestSuite:
    suite = TestSuite(_clean(row.name))
    facts = {"mode": row.mode}
    if row.record is not None:
        facts |= {"device": row.record.device, "threads": str(row.record.threads)}
        facts |= {"repeats": row.record.repeats} if row.record.repeats else {}
        facts |= row.record.versions | row.record.flags
    for name, value in facts.items():
        suite.add_property(_clean(name), _clean(value))
    if row.status in ("not run", "failed"):
        result = Error if row.status == "failed" else Failure if required else Skipped
        suite.add_testcase(_test(row, "", "run", result(_clean(row.reason), row.status)))
    for kind in KINDS:
        for case, name, verdict in iter_verdicts(row, kind):
            suite.add_testcase(_test(row, case, f"{name} {kind}", *_failures(verdict)))
    for compared in row.cases:
        wrong = [Failure(_clean(compared.reason), "decision")] if compared.reason else []
        test = _test(row, compared.case, "decisions", *wrong)
        if compared.notes:
            test.system_out = _clean("\n".join(compared.notes))
        suite.add_testcase(test)
    return suite


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
    # Most viewers show the part of a class name after its last dot.
    parts = [part.replace(".", "_") for part in (row.runtime, row.setting, case) if part]
    test = TestCase(_clean(name), _clean(".".join(parts)))
    test.result = list(results)
    return test


def _clean(text: str) -> str:
    return _UNWRITABLE.sub("�", text)

"""A report as JUnit XML, which CI systems show test by test."""

from __future__ import annotations

from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from onnx_arbiter.report.xml import xml_text
from vgg16_parity.records import KINDS, Report, Row, iter_verdicts
from vgg16_parity.report.coverage import lacking, percent
from vgg16_spec.text import visible


def junit(report: Report) -> JUnitXml:
    """A suite for each runtime, lane and device; in it a test for each case, tap and kind.

    A tap outside its limits is a failure, and so is anything else wrong with a case. A row that
    failed is an error. A row that was not run is skipped, or a failure if runtimes were named.
    Notes are a test's output.
    """
    document = JUnitXml("vgg16 parity")
    for row in report.rows:
        document.append(_suite(row, required=report.counts(row)))
    document.update_statistics()
    # The statistics sum up the times of the tests, which have none of their own.
    for suite, row in zip(document, report.rows, strict=True):
        suite.time = round(sum(row.record.seconds.values()), 3) if row.record else 0.0
    document.time = round(sum(suite.time for suite in document), 3)
    return document


def text(report: Report) -> str:
    """The report as JUnit XML."""
    return xml_text(junit(report))


def _suite(row: Row, *, required: bool) -> TestSuite:
    suite = TestSuite(visible(row.name))
    facts = {"mode": row.mode}
    if record := row.record:
        facts |= {"device": record.device, "threads": str(record.threads)}
        facts |= {"repeats": record.repeats} if record.repeats else {}
        facts |= record.versions | record.flags
    if row.coverage is not None:
        facts["exercised"] = percent(row.coverage.share)
        short = lacking(row.coverage)
        facts |= {f"exercised of {name}": percent(share) for name, share in short.items()}
    for name, value in facts.items():
        suite.add_property(visible(name), visible(value))
    if row.status in ("not run", "failed"):
        result = Error if row.status == "failed" else Failure if required else Skipped
        suite.add_testcase(_test(row, "", "run", row.reason or row.status, row.status, result))
    for kind in KINDS:
        for case, name, verdict in iter_verdicts(row, kind):
            test = _test(row, case, f"{name} {kind}", verdict.reason, "limit")
            if verdict.reason:
                test.result[0].text = (
                    f"ratio {verdict.ratio:.6g}, deviations {verdict.deviations:.6g} "
                    f"at {verdict.worst}, largest error {verdict.max_error:.6g}"
                )
            suite.add_testcase(test)
    for compared in row.cases:
        test = _test(row, compared.case, "decisions", compared.reason, "decision")
        if compared.notes:
            test.system_out = "\n".join(map(visible, compared.notes))
        suite.add_testcase(test)
    if row.status == "broken" and not any(test.result for test in suite):
        # Of gradients: ReLUs that rounding does not explain, or a tensor too many.
        suite.add_testcase(_test(row, "", "run", row.reason, row.status))
    return suite


def _test(
    row: Row, case: str, name: str, reason: str, label: str, result: type[Any] = Failure
) -> TestCase:
    """A test with a result of some kind, or one that passed: there is no reason then."""
    # Most viewers show the part of a class name after its last dot.
    parts = [part.replace(".", "_") for part in (row.runtime, row.setting, case) if part]
    test = TestCase(visible(name), visible(".".join(parts)))
    if reason:
        test.result = [result(visible(reason), label)]
    return test

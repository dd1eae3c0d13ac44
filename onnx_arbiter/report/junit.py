"""A report as JUnit XML, which CI systems show test by test."""

from __future__ import annotations

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from onnx_arbiter.judge.explain import explain_run
from onnx_arbiter.judge.records import Report, Run
from onnx_arbiter.report.table import not_judged
from onnx_arbiter.report.xml import xml_text
from vgg16_spec.text import visible


def junit(report: Report) -> JUnitXml:
    """A suite for the network, and in it a test for each run.

    A run that is broken is a failure, with what is wrong in words. One of which nothing was judged
    is skipped if another run holds, else a failure.
    """
    suite = TestSuite(visible(f"onnx-arbiter {report.model}"))
    suite.add_property("mode", report.mode)
    for name, shape in report.inputs.items():
        suite.add_property(visible(f"input {name}"), "×".join(map(str, shape)))
    for run in report.runs:
        suite.add_testcase(_test(report, run))
    document = JUnitXml("onnx-arbiter")
    document.append(suite)
    document.update_statistics()
    document.time = suite.time = round(report.seconds, 3)
    return document


def text(report: Report) -> str:
    """The report as JUnit XML."""
    return xml_text(junit(report))


def _test(report: Report, run: Run) -> TestCase:
    # Most viewers show the part of a class name after its last dot.
    test = TestCase(visible(run.name), visible(report.model.replace(".", "_")))
    said = visible(explain_run(run))
    if run.status == "broken":
        test.result = [Failure(said, "limit")]
        if run.guilty is not None:
            test.result[0].text = visible(f"the value {run.guilty.value}")
    elif run.status == "not judged":
        test.result = [(Skipped if report.holds else Failure)(said, "not judged")]
    if lines := [*run.notes, *not_judged(report)]:
        test.system_out = "\n".join(map(visible, lines))
    return test

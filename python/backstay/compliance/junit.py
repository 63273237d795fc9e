"""JUnit's XML, as CI services read it: a suite for each server, a case for each check.

A check in several versions is a case for each of them. A warning is a case that passes and says so in its
output: JUnit has no word for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as xml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstay.compliance.findings import Finding, Report

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(reports: Sequence[Report], at: str) -> str:
    """Write the reports; `at` is the time in ISO 8601, without a zone."""
    suites = [_suite(report, number, at) for number, report in enumerate(reports)]
    totals = {
        name: str(sum(int(suite.get(name, "0")) for suite in suites))
        for name in ("tests", "failures", "errors", "skipped")
    }
    root = xml.Element("testsuites", {"name": "backstay doctor", **totals, "time": "0"})
    root.extend(suites)
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report, number: int, at: str) -> xml.Element:
    cases = [
        _case(report.service, each, version)
        for each in report.findings
        for version in (each.versions or ("",))
    ]
    suite = xml.Element(
        "testsuite",
        name=_text(report.service),
        id=str(number),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors="0",
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time="0",
        timestamp=at,
        hostname="localhost",
    )
    properties = xml.SubElement(suite, "properties")
    facts = {"grade": report.grade, "score": report.score, "protocols": ", ".join(report.protocols)}
    for name, value in {**facts, **report.measured}.items():
        xml.SubElement(properties, "property", name=name, value=_text(str(value)))
    suite.extend(cases)
    return suite


def _case(service: str, found: Finding, version: str) -> xml.Element:
    name = f"{found.check} [{version}]" if version else found.check
    case = xml.Element("testcase", name=_text(name), classname=_text(f"backstay.doctor.{service}"), time="0")
    said = "\n".join(filter(None, [found.detail, found.hint and f"hint: {found.hint}", found.section]))
    match found.outcome:
        case "failed":
            xml.SubElement(case, "failure", type=found.check, message=_text(found.detail)).text = _text(said)
        case "skipped":
            xml.SubElement(case, "skipped", message=_text(found.detail))
        case "warned":
            xml.SubElement(case, "system-out").text = _text(f"warning: {said}")
        case "passed":
            pass
    return case


def _text(text: str) -> str:
    """Leave out what XML cannot hold."""
    return _NO_XML.sub("�", text)

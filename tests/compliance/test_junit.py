"""JUnit's XML has the shape that CI services read."""

from __future__ import annotations

from xml.etree import ElementTree as xml

from backstay.compliance.findings import Finding, Report
from backstay.compliance.junit import document

#: The common schema, as the readers of CI services agree on it: for each element the attributes it must have,
#: those it may have, and the elements it may hold.
SHAPE: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests"},
        {"id", "failures", "errors", "skipped", "time", "timestamp", "hostname", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name", "classname"},
        {"time", "file", "line"},
        {"failure", "error", "skipped", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"message"}, set()),
    "system-out": (set(), set(), set()),
}

REPORTS = [
    Report(
        "clock & <co>",
        "server",
        "ready",
        protocols=["2025-11-25", "2024-11-05"],
        measured={"ready_ms": 12.5},
        findings=[
            Finding("ready", "passed", "clock 1"),
            Finding(
                "tools.schema",
                "failed",
                "`x` has \x1b[31mnone",
                "declare it",
                "server/tools#tool",
                ("2025-11-25",),
            ),
            Finding("tools.schema", "passed", "all have", None, "server/tools#tool", ("2024-11-05",)),
            Finding(
                "errors.cursor", "warned", "no error", "answer -32602", None, ("2025-11-25", "2024-11-05")
            ),
            Finding("prompts.list", "skipped", "no prompts"),
        ],
    ),
    Report("db", "service", "failed", findings=[Finding("ready", "failed", "exited with code 3")]),
]


def check(element: xml.Element) -> None:
    required, optional, children = SHAPE[element.tag]
    attributes = set(element.keys())
    assert required <= attributes <= required | optional, element.tag
    for child in element:
        assert child.tag in children, f"{child.tag} in {element.tag}"
        check(child)


def test_every_element_is_one_of_the_common_schema() -> None:
    root = xml.fromstring(document(REPORTS, "2026-01-01T00:00:00"))
    assert root.tag == "testsuites"
    check(root)


def test_the_counts_are_those_of_the_cases() -> None:
    root = xml.fromstring(document(REPORTS, "2026-01-01T00:00:00"))
    for part in [root, *root]:
        cases = list(part.iter("testcase"))
        counted = {
            "tests": len(cases),
            "failures": sum(case.find("failure") is not None for case in cases),
            "skipped": sum(case.find("skipped") is not None for case in cases),
            "errors": 0,
        }
        assert {name: int(part.get(name, "-1")) for name in counted} == counted
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("7", "2", "1")


def test_a_check_is_a_case_in_each_version_and_a_warning_is_no_failure() -> None:
    root = xml.fromstring(document(REPORTS, "2026-01-01T00:00:00"))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert {"errors.cursor [2025-11-25]", "errors.cursor [2024-11-05]"} <= cases.keys()
    warned = cases["errors.cursor [2025-11-25]"]
    assert warned.find("failure") is None
    assert "warning: no error" in warned.findtext("system-out", "")
    failure = cases["tools.schema [2025-11-25]"].find("failure")
    assert failure is not None
    assert failure.get("message") == "`x` has �[31mnone"
    assert "hint: declare it" in (failure.text or "")

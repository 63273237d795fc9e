"""Prints what `backstay doctor` found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backstay.cli.style import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Pen, count, cut, plain

if TYPE_CHECKING:
    from backstay.compliance.findings import Report

LONGEST_DETAIL = 120

SIGNS = {"passed": ("✓", GREEN), "skipped": ("·", DIM), "warned": ("!", YELLOW), "failed": ("✗", RED)}
GRADES = {"A": GREEN, "B": GREEN, "C": YELLOW, "D": YELLOW, "F": RED}


def _line(text: str) -> str:
    """Write a detail in one line: servers answer at length."""
    return plain(cut(" ".join(text.split()), LONGEST_DETAIL))


def show(reports: list[Report], pen: Pen, *, every: bool) -> None:
    """Print the reports; of each `every` finding, or only what is not well."""
    shown = {
        found.service: [each for each in found.findings if every or each.outcome in ("failed", "warned")]
        for found in reports
    }
    width = max((len(each.check) for findings in shown.values() for each in findings), default=0)
    for found in reports:
        sign, color = SIGNS["passed" if found.ok else "failed"]
        applying = found.count("passed", "warned", "failed")
        done = f"{found.count('passed', 'warned')} of {applying} checks passed"
        head = f"{pen.paint(sign, color)} {pen.paint(found.service, BOLD)}  {pen.state(found.state)}"
        grade = f"{pen.paint('grade', DIM)} {pen.paint(found.grade, GRADES[found.grade])}"
        rest = pen.paint(", ".join(filter(None, [found.health, done])), DIM)
        click.echo(f"{head}  {rest}  {grade}" if found.kind == "server" else f"{head}  {rest}")
        for each in shown[found.service]:
            sign, color = SIGNS[each.outcome]
            click.echo(f"    {pen.paint(sign, color)} {each.check:<{width}}  {_line(each.detail)}")
            if each.hint and each.outcome in ("failed", "warned"):
                # Where a check went differently in different versions, these are worth their room.
                split = sum(other.check == each.check for other in found.findings) > 1
                where = ", ".join(filter(None, [each.section, *(each.versions if split else ())]))
                section = f" ({where})" if where else ""
                click.echo(f"      {pen.paint('hint:', CYAN)} {plain(each.hint)}{section}")
    outcomes = [each.outcome for found in reports for each in found.findings]
    wrong = sum(not found.ok for found in reports)
    verdict = f"{wrong} of {len(reports)} services have something wrong" if wrong else "nothing is wrong"
    warnings = outcomes.count("warned")
    also = f", {count(warnings, 'warning')}" if warnings else ""
    click.echo(f"\n{count(len(reports), 'service')}, {count(len(outcomes), 'check')}{also}: {verdict}")

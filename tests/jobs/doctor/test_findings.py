"""Findings: each check is documented, and a report is in order."""

import re
from pathlib import Path

import pytest

from jobs_app.jobs.doctor.findings import CHECKS, Finding, Level, Report, as_json, sort

DOCS = Path(__file__).parents[3] / "docs/doctor.md"


def finding(check: str, level: Level = Level.WARNING) -> Finding:
    return Finding(check, level, "It is so.", "Do this.")


def test_each_check_has_a_section_in_the_docs() -> None:
    headings = re.findall(r"^## (\S+)$", DOCS.read_text(), re.MULTILINE)

    assert [finding(check).docs.partition("#")[2] for check in CHECKS] == headings


def test_a_finding_of_an_unknown_check_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no check"):
        finding("luck")


def test_errors_come_first_and_what_was_neither_found_nor_skipped_passed() -> None:
    found = sort([finding("root"), finding("disk", Level.ERROR), finding("redis")])
    report = Report(found, {"clocks": "Redis does not answer"})

    assert [one.check for one in found] == ["disk", "redis", "root"]
    assert report.level is Level.ERROR
    assert set(report.passed) == CHECKS.keys() - {"root", "disk", "redis", "clocks"}
    assert as_json(report)["skipped"] == [{"check": "clocks", "reason": "Redis does not answer"}]


def test_no_finding_has_no_level() -> None:
    assert Report([], {}).level is None
    assert Report([], {}).passed == list(CHECKS)

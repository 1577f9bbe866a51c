"""What the doctor finds: a sentence, a remedy, and where the documentation says more."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad a finding is: a warning works today, an error does not."""

    WARNING = "warning"
    ERROR = "error"


#: The checks, in the order of a report, each with what it looks at.
CHECKS: dict[str, str] = {
    "database": "the database answers",
    "migrations": "the schema of the database is that of this version",
    "database_writes": "the database takes writes",
    "database_connections": "the database has connections left",
    "redis": "Redis or Valkey answers",
    "redis_writes": "Redis takes writes",
    "redis_eviction": "Redis drops no keys",
    "redis_password": "Redis wants a password",
    "redis_prefix": "no other installation uses the prefix in Redis",
    "scheduler": "a scheduler looks at what is due",
    "scheduler_lock": "the scheduler's lock lasts longer than its ticks",
    "clocks": "the clocks of database, Redis and processes agree",
    "queues": "a worker serves each queue with jobs or runs",
    "workers": "no worker has a problem",
    "versions": "all processes are of this version of jobs-app",
    "settings": "schedulers and workers have the same settings where they must",
    "variables": "no variable JOBS_… is a mistyped setting",
    "imports": "the web server can load the modules of JOBS_IMPORTS",
    "zone_data": "all processes have the same time zone data",
    "zone_changes": "no fire of the next 90 days moves with new time zone data",
    "secrets": "no argument or command of a job has a password in plain text",
    "secret_key": "the key here reads all secrets",
    "mail_server": "the mail server answers",
    "port": "no other program has the port of the web server",
    "disk": "the disks have room",
    "network_filesystem": "SQLite is on a local disk",
    "open_port": "the web server is not open to the network unprotected",
    "root": "it does not run as root",
    "file_modes": "other users cannot read or write its files",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what helps."""

    check: str
    level: Level
    sentence: str
    remedy: str

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ValueError(f"there is no check {self.check!r}")

    @property
    def docs(self) -> str:
        """Where the documentation says more."""
        return f"docs/doctor.md#{self.check.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, the worst first, and the checks that could not be made, with the reason."""

    findings: list[Finding]
    skipped: dict[str, str]

    @property
    def passed(self) -> list[str]:
        """The checks that found nothing."""
        found = {finding.check for finding in self.findings}
        return [check for check in CHECKS if check not in found | self.skipped.keys()]

    @property
    def level(self) -> Level | None:
        """The worst level; None if nothing was found."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), None)


def as_json(report: Report) -> dict[str, Any]:
    """Return *report* as JSON has it, with what each finding says."""
    return {
        "level": report.level,
        "findings": [
            {
                "check": one.check,
                "level": one.level,
                "sentence": one.sentence,
                "remedy": one.remedy,
                "docs": one.docs,
            }
            for one in report.findings
        ],
        "passed": report.passed,
        "skipped": [{"check": check, "reason": why} for check, why in report.skipped.items()],
    }


def sort(findings: list[Finding]) -> list[Finding]:
    """Return *findings*, errors first, each in the order of the checks."""
    order = list(CHECKS)
    return sorted(findings, key=lambda one: (one.level is Level.WARNING, order.index(one.check)))

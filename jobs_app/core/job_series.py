"""Which jobs have metrics of their own: the setting JOBS_METRICS_JOBS."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Each job has up to thirty series, and Prometheus keeps all of them in memory.
MOST_JOBS = 1000


@dataclass(frozen=True, slots=True)
class JobSeries:
    """At most `limit` jobs have metrics of their own: the first ones, or those of `patterns`."""

    limit: int
    patterns: tuple[str, ...] = ()

    def includes(self, name: str) -> bool:
        """Tell whether a job of this name may have metrics of its own."""
        return not self.patterns or any(fnmatchcase(name, pattern) for pattern in self.patterns)


def parse_job_series(text: str) -> JobSeries:
    """Read a number of jobs, or names and patterns with commas; raises ValueError for others."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(parts) == 1 and parts[0].isdecimal():
        limit = int(parts[0])
        if limit > MOST_JOBS:
            raise ValueError(f"use a number up to {MOST_JOBS}, or names of jobs")
        return JobSeries(limit)
    if not parts:
        raise ValueError("use a number of jobs, 0 for none, or names of jobs, with commas")
    return JobSeries(MOST_JOBS, parts)

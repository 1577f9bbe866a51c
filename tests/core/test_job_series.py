"""JOBS_METRICS_JOBS: a number, or names and patterns."""

import pytest

from jobs_app.core.job_series import MOST_JOBS, JobSeries, parse_job_series


@pytest.mark.parametrize(
    "text, series",
    [
        ("100", JobSeries(100)),
        (" 0 ", JobSeries(0)),
        ("backup, report-*", JobSeries(MOST_JOBS, ("backup", "report-*"))),
        ("7, 8", JobSeries(MOST_JOBS, ("7", "8"))),
    ],
)
def test_a_number_or_names_are_read(text: str, series: JobSeries) -> None:
    assert parse_job_series(text) == series


@pytest.mark.parametrize("text", ["", " , ", "1001"])
def test_nothing_and_too_many_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names of jobs"):
        parse_job_series(text)


def test_a_pattern_names_jobs_and_a_number_all() -> None:
    chosen = parse_job_series("backup,report-*")

    included = [chosen.includes(name) for name in ("backup", "report-7", "backup-2")]

    assert included == [True, True, False]
    assert parse_job_series("5").includes("anything")

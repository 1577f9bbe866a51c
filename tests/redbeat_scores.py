"""The scores of all jobs' entries, for tests that look at them."""

from jobs_app.jobs.redbeat_entries import Projection


def scores(projection: Projection) -> dict[int, float]:
    """Return the score of every job's entry."""
    job_ids: set[int] = set()
    cursor = 0
    while True:
        cursor, page = projection.scan(cursor, count=1000)
        job_ids.update(page)
        if cursor == 0:
            return projection.scores_of(sorted(job_ids))

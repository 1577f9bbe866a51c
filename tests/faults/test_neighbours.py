"""Two installations that share one Redis."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs_app.models import Worker
from jobs_app.settings import Settings
from tests.faults.installation import Installation
from tests.servers import ValkeyServer, wait_until


@pytest.fixture
def make_pair(
    tmp_path: Path, own_valkey: ValkeyServer, migrated_sqlite: Path
) -> Iterator[Callable[[str, str], list[Installation]]]:
    """Makes two installations, with a database each, and starts what belongs to them."""
    made: list[Installation] = []

    def make(*prefixes: str) -> list[Installation]:
        for number, prefix in enumerate(prefixes):
            directory = tmp_path / str(number)
            directory.mkdir()
            shutil.copyfile(migrated_sqlite, directory / "jobs.db")
            settings = Settings(
                data_dir=directory / "data",
                database_url=f"sqlite:///{directory / 'jobs.db'}",
                redis_url=own_valkey.url,
                redis_prefix=prefix,
                heartbeat_seconds=0.5,
                fence_seconds=8,
                lost_seconds=12,
                scheduler_lock_seconds=2,
            )
            made.append(Installation(settings, directory))
        for each in made:
            each.start_ready("worker")
            each.start_ready("scheduler")
        return made

    yield make
    for installation in made:
        installation.stop()


def test_installations_with_prefixes_of_their_own_do_not_know_of_each_other(
    make_pair: Callable[[str, str], list[Installation]],
) -> None:
    pair = make_pair("jobs:", "more:")
    jobs = [each.record() for each in pair]
    for each, job in zip(pair, jobs, strict=True):
        each.wait_for_runs(job, 5)

    for each, job in zip(pair, jobs, strict=True):
        verdict = each.assert_right(job)
        assert verdict.started == verdict.owed
        assert set(each.projection.scores()) == {job.id}
        with each.database.reading() as session:
            assert [worker.messages_dropped for worker in session.query(Worker)] == [0]


@pytest.mark.timeout(240)
def test_installations_that_share_a_prefix_are_late_and_lose_and_double_nothing(
    make_pair: Callable[[str, str], list[Installation]],
) -> None:
    pair = make_pair("jobs:", "jobs:")
    jobs = [each.record(interval_seconds=5) for each in pair]

    for each, job in zip(pair, jobs, strict=True):
        each.wait_for_runs(job, 2, seconds=60)

    said = "fires_left_undone jobs=1 is another installation using JOBS_REDIS_PREFIX=jobs:?"
    wait_until(lambda: any(said in each.log("scheduler") for each in pair), "one of them says why")
    for each, job in zip(pair, jobs, strict=True):
        # Whose worker takes a message is a matter of luck: some may still be on their way.
        verdict = each.verdict(job, settle_seconds=20)
        assert verdict.owed >= 2
        assert {found.what for found in verdict.findings} <= {"late", "not terminal"}, str(verdict)

"""Two installations that share one Redis."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.installation import installation_id
from jobs_app.db.migrations import migrate
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from tests.faults.installation import Installation
from tests.redbeat_scores import scores
from tests.servers import ValkeyServer, wait_until


@pytest.fixture
def make_pair(
    tmp_path: Path, own_valkey: ValkeyServer
) -> Iterator[Callable[[str, str], list[Installation]]]:
    """Makes two installations, with a database each, and starts what belongs to them."""
    made: list[Installation] = []

    def make(*prefixes: str) -> list[Installation]:
        for number, prefix in enumerate(prefixes):
            directory = tmp_path / str(number)
            directory.mkdir()
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
            # Not a copy of one that is migrated: it would be the same installation.
            migrate(settings)
            made.append(Installation(settings, directory))
        for each in made:
            each.start_ready("worker")
            each.start_ready("scheduler")
        return made

    yield make
    for installation in made:
        installation.stop()


@pytest.mark.nightly
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
        assert set(scores(each.projection)) == {job.id}
        with each.database.reading() as session:
            assert [worker.messages_dropped for worker in session.query(Worker)] == [0]


@pytest.mark.nightly
def test_installations_that_share_a_prefix_lose_and_double_nothing_and_one_of_them_says_so(
    make_pair: Callable[[str, str], list[Installation]], own_valkey: ValkeyServer
) -> None:
    pair = make_pair("jobs:", "jobs:")
    jobs = [each.record(interval_seconds=5) for each in pair]
    owner_id = str(identity(pair[0]))

    for each, job in zip(pair, jobs, strict=True):
        each.wait_for_runs(job, 1, seconds=60)

    said = "redis_prefix_shared Another installation uses this Redis with the prefix 'jobs:': give"
    wait_until(lambda: said in pair[1].log("scheduler"), "the second one says so")
    assert said not in pair[0].log("scheduler")
    assert pair[1].log("scheduler").count(said) == 1
    with own_valkey.client() as redis:
        assert redis.get("jobs:installation") == owner_id.encode()
    # They have the same number, and stand where the first one's rows say.
    assert jobs[0].id == jobs[1].id
    wait_until(lambda: is_as_its_row(pair[0], jobs[0]), "the entry is the first one's")
    for each, job in zip(pair, jobs, strict=True):
        wait_until(partial(owes_two, each, job), "two fires are owed")
        # Whose worker takes a message is a matter of luck, so many are still on their way: they
        # are not waited for.
        verdict = each.verdict(job, settle_seconds=1)
        assert verdict.owed >= 2
        assert {found.what for found in verdict.findings} <= {"late", "not terminal"}, str(verdict)


def test_a_prefix_is_taken_over_from_an_installation_that_is_gone(
    make_pair: Callable[[str, str], list[Installation]], own_valkey: ValkeyServer
) -> None:
    pair = make_pair("jobs:", "jobs:")
    said = "redis_prefix_shared"
    wait_until(lambda: said in pair[1].log("scheduler"), "the second one says so")

    pair[0].kill("scheduler")
    with own_valkey.client() as redis:
        # FLUSHALL takes the note away, as a minute without the other one does.
        redis.flushall()

    wait_until(lambda: any(pair[1].schedulers().values()), "the second one leads")
    with own_valkey.client() as redis:
        assert redis.get("jobs:installation") == str(identity(pair[1])).encode()
        assert 0 < redis.ttl("jobs:installation") <= 60


def owes_two(installation: Installation, job: Job) -> bool:
    return len(installation.owed(job, clock.now()).fires) > 1


def identity(installation: Installation) -> UUID:
    with installation.database.reading() as session:
        found = installation_id(session)
    assert found is not None
    return found


def is_as_its_row(installation: Installation, job: Job) -> bool:
    with installation.database.reading() as session:
        due_at = session.get_one(Job, job.id).next_due_at
    return due_at is not None and scores(installation.projection) == {job.id: due_at.timestamp()}

"""Sets of jobs: what is planned, and that it is carried out as a whole or not at all."""

from typing import Any

import pytest
from sqlalchemy import select

from jobs_app.core.errors import Conflict, InvalidInput, StaleVersion
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs import apply, service
from jobs_app.jobs.apply import JobSet, Step
from jobs_app.jobs.document import Definition
from tests.factories import HOUR, NOON, TASKS, definition


def anything(_definition: Definition | None, _job: Job | None) -> None:
    """Let the caller do all."""


def a_set(
    definitions: list[Definition],
    name: str | None = None,
    **options: Any,
) -> JobSet:
    return JobSet(dict(enumerate(definitions)), name, **options)


def planned(database: Database, job_set: JobSet) -> list[Step]:
    with database.reading() as reader:
        return apply.plan(reader, job_set, guard=anything, app=TASKS, at=NOON)


def carried_out(database: Database, steps: list[Step], name: str | None = None) -> list[Job]:
    with database.session() as session:
        return apply.carry_out(session, steps, name=name, by="ann", at=NOON)


def applied(database: Database, job_set: JobSet) -> dict[str, str]:
    steps = planned(database, job_set)
    carried_out(database, steps, job_set.name)
    return {step.name: str(step.action) for step in steps}


def living(database: Database) -> dict[str, Job]:
    with database.reading() as reader:
        jobs = reader.scalars(select(Job).where(Job.deleted_at.is_(None)))
        return {job.name: job for job in jobs}


def by_hand(database: Database, name: str, **values: object) -> None:
    """Create the job *name*, or change it, as a person would."""
    with database.session() as session:
        job = living(database).get(name)
        if job is None:
            wanted = definition(name=name, **values)
            service.create(session, wanted, app=TASKS, by="eve", at=NOON)
        else:
            wanted = definition(**({"name": name, "origin": job.origin} | values))
            service.change(session, job, wanted, version=None, app=TASKS, by="eve", at=NOON)


def test_a_second_apply_finds_nothing_to_change(database: Database) -> None:
    job_set = a_set([definition(name="a"), definition(name="b", interval_seconds=60)], "night")

    assert applied(database, job_set) == {"a": "create", "b": "create"}
    before = living(database)
    assert applied(database, job_set) == {"a": "keep", "b": "keep"}
    assert {job.name: job.version for job in living(database).values()} == {"a": 1, "b": 1}
    assert before["b"].next_fire_at == living(database)["b"].next_fire_at


def test_nothing_is_due_at_once(database: Database) -> None:
    applied(database, a_set([definition(name="a", cron="* * * * *")]))

    next_fire = living(database)["a"].next_fire_at
    assert next_fire is not None
    assert next_fire > NOON


def test_one_refused_job_keeps_all_from_being_planned_and_each_is_named(
    database: Database,
) -> None:
    job_set = a_set(
        [definition(name="a"), definition(name="b", task="none"), definition(name="c", queue="?")]
    )

    with pytest.raises(InvalidInput) as caught:
        planned(database, job_set)

    assert {error.pointer for error in caught.value.errors} == {"/jobs/1/task", "/jobs/2/queue"}
    assert living(database) == {}


def test_a_job_changed_after_the_plan_keeps_all_from_being_changed(database: Database) -> None:
    by_hand(database, "a")
    steps = planned(database, a_set([definition(name="new"), definition(name="a", priority=1)]))
    by_hand(database, "a", priority=2)

    with pytest.raises(StaleVersion):
        carried_out(database, steps)

    assert {name: job.priority for name, job in living(database).items()} == {"a": 2}


def test_a_name_taken_after_the_plan_keeps_all_from_being_changed(database: Database) -> None:
    by_hand(database, "a")
    steps = planned(database, a_set([definition(name="a", priority=1), definition(name="new")]))
    by_hand(database, "new")

    with pytest.raises(Conflict):
        carried_out(database, steps)

    assert living(database)["a"].priority == 5


def test_a_prune_deletes_what_the_set_made_and_nothing_else(database: Database) -> None:
    by_hand(database, "hand-made")
    applied(database, a_set([definition(name="other")], "elsewhere"))
    applied(database, a_set([definition(name="a"), definition(name="b")], "night"))

    # Named by the set once, but made by hand before.
    applied(database, a_set([definition(name=n) for n in ("a", "hand-made")], "night"))
    steps = applied(database, a_set([definition(name="a")], "night", prunes=True))

    assert steps == {"a": "keep", "b": "delete"}
    assert living(database).keys() == {"a", "hand-made", "other"}


def test_a_prune_of_confirmed_jobs_is_refused_once_another_joins_the_set(
    database: Database,
) -> None:
    applied(database, a_set([definition(name="a"), definition(name="b")], "night"))
    alone = a_set([definition(name="a")], "night", prunes=True, prune_only=frozenset({"b", "gone"}))
    steps = planned(database, alone)
    applied(database, a_set([definition(name="new")], "night"))

    with pytest.raises(Conflict, match="deleted, too: 'new'") as caught:
        planned(database, alone)
    carried_out(database, steps, "night")

    assert caught.value.code == "prune_changed"
    # What was planned before the job joined does not touch it.
    assert living(database).keys() == {"a", "new"}


def test_a_job_of_another_set_is_refused_unless_it_is_taken_over(database: Database) -> None:
    applied(database, a_set([definition(name="a")], "first"))

    with pytest.raises(Conflict, match="'a' is managed by 'first'") as caught:
        planned(database, a_set([definition(name="a")], "second"))
    applied(database, a_set([definition(name="a")], "second", takes_over=True))

    assert caught.value.code == "managed_elsewhere"
    assert living(database)["a"].origin == "second"


def test_a_document_that_names_the_origin_of_its_job_leaves_it_there(database: Database) -> None:
    by_hand(database, "a", origin="crontab web1:root")

    job_set = a_set([definition(name="a", origin="crontab web1:root", priority=1)], "night")

    assert applied(database, job_set) == {"a": "change"}
    assert living(database)["a"].origin == "crontab web1:root"


def test_a_change_by_hand_of_a_managed_job_is_named_once(database: Database) -> None:
    job_set = a_set([definition(name="a"), definition(name="b")], "night")
    applied(database, job_set)
    by_hand(database, "a", priority=1)

    (step, other) = planned(database, job_set)
    carried_out(database, [step, other], "night")
    changed = a_set([definition(name="a", priority=3)], "night")

    assert step.edited is not None
    assert (step.edited.by, step.edited.changed) == ("eve", ["priority"])
    assert other.edited is None
    assert planned(database, changed)[0].edited is None


def test_the_history_names_the_set(database: Database) -> None:
    applied(database, a_set([definition(name="a")], "night"))

    with database.reading() as reader:
        (revision,) = reader.scalars(select(JobRevision))
    assert revision.note == "Applied from 'night'."


def test_a_plan_says_which_fires_move_and_go(database: Database) -> None:
    applied(database, a_set([definition(name="a", cron="0 13 * * *")], "night"))
    applied(database, a_set([definition(name="b", cron="0 13 * * *")], "night"))

    moved, pruned = planned(
        database, a_set([definition(name="a", cron="0 14 * * *")], "night", prunes=True)
    )

    first = moved.fires.moved[0]
    assert (first[0].at, first[1].at) == (NOON + HOUR, NOON + 2 * HOUR)
    assert (pruned.action, pruned.fires.go[0].at) == ("delete", NOON + HOUR)

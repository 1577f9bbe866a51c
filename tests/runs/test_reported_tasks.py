"""The tasks that workers have are on record, and which of them a living worker has."""

from dataclasses import replace
from uuid import UUID

from jobs_app.db.engine import Database
from jobs_app.runs import reported_tasks, workers
from jobs_app.runs.workers import Registration
from jobs_app.tasks.task_info import TaskInfo
from tests.factories import NOON, SECOND

REPORT = TaskInfo("shop.report", "Adds up.", {"type": "object"}, [], {}, [])
MAIL = replace(REPORT, name="shop.mail")


def register(database: Database, *tasks: TaskInfo, queues: tuple[str, ...] = ("shop",)) -> UUID:
    registration = Registration("worker@test", 1, queues, 2, "prefork", tasks)
    with database.session() as session:
        return workers.register(session, registration, at=NOON)


def reported(database: Database) -> dict[str, TaskInfo]:
    with database.reading() as session:
        return {info.name: info for info in reported_tasks.reported(session)}


def test_the_newest_report_counts_and_a_task_without_a_worker_is_known_as_such(
    database: Database,
) -> None:
    first = register(database, REPORT, MAIL)
    register(database, replace(MAIL, description="Sends."))

    with database.session() as session:
        workers.give_up(session, first, beats=None, at=NOON + SECOND)

    infos = reported(database)
    assert {name: info.has_worker for name, info in infos.items()} == {
        "shop.mail": True,
        "shop.report": False,
    }
    assert infos["shop.mail"].description == "Sends."


def test_a_job_of_a_task_goes_to_the_only_queue_of_its_workers(database: Database) -> None:
    register(database, REPORT, MAIL, replace(REPORT, name="shop.own", declared={"queue": "slow"}))
    register(database, MAIL, queues=("default", "shop"))

    infos = reported(database)

    assert infos["shop.report"].declared == {"queue": "shop"}
    assert infos["shop.mail"].declared == {}
    assert infos["shop.own"].declared == {"queue": "slow"}

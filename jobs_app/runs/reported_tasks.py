"""The tasks that workers report when they start, so that other processes know them.

The reports are rows of the database, which only processes of the installation can write:
whoever writes there could make any job. Nothing is taken from Redis.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.db.models.processes import ReportedTask, Worker
from jobs_app.tasks.task_info import TaskInfo, info_of, report_of

#: The queue of a job that names none.
DEFAULT_QUEUE = "default"


def report(session: Session, tasks: Iterable[TaskInfo], *, at: datetime) -> None:
    """Store what a worker that starts says of its tasks, in place of earlier reports."""
    rows = [{"name": task.name, "report": report_of(task), "reported_at": at} for task in tasks]
    if not rows:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    # In one order: two workers that start at once wait for each other's rows.
    rows.sort(key=lambda row: str(row["name"]))
    insert = dialect.insert(ReportedTask)
    newest = {name: insert.excluded[name] for name in ("report", "reported_at")}
    session.execute(insert.on_conflict_do_update(index_elements=["name"], set_=newest), rows)


def reported(session: Session) -> list[TaskInfo]:
    """Return the reported tasks by name, with the queue of the workers that have them.

    A job of a task whose living workers all serve one queue, and not the default one, goes
    there unless it or the task's code says otherwise.
    """
    queues: dict[str, set[str]] = {}
    living = select(Worker.tasks, Worker.queues).where(Worker.gone_at.is_(None))
    for names, its_queues in session.execute(living):
        for name in names or ():
            queues.setdefault(name, set()).update(its_queues)
    statement = select(ReportedTask.name, ReportedTask.report).order_by(ReportedTask.name)
    infos = []
    for name, described in session.execute(statement):
        info = info_of(name, described, has_worker=name in queues)
        served = queues.get(name, set())
        if len(served) == 1 and DEFAULT_QUEUE not in served:
            info.declared.setdefault("queue", min(served))
        infos.append(info)
    return infos

"""Tasks that a worker has and this process does not: known by what the worker has reported."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from celery import Celery

from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.arguments import TaskArguments
from jobs_app.tasks.declarations import Declaration
from jobs_app.tasks.schema_arguments import arguments_of_schema
from jobs_app.tasks.task_info import TaskInfo


class ReportedTask(AnyTask):
    """Stands for a task of a worker; it cannot be called here."""

    abstract = True
    name: str

    def __init__(self, info: TaskInfo) -> None:
        self.info = info
        self.name = info.name

    def run(self, *_: Any, **__: Any) -> None:
        """Raise RuntimeError: only the worker has its code."""
        raise RuntimeError(f"the code of the task {self.name!r} is not in this process")

    @cached_property
    def arguments(self) -> TaskArguments:
        """The arguments that it takes, as far as its report describes them."""
        return arguments_of_schema(self.name, self.info.schema, self.info.positional)

    @cached_property
    def declaration(self) -> Declaration:
        """What its code declares about its jobs."""
        fields = {name: value for name, value in self.info.declared.items() if name != "timezone"}
        timezone = self.info.declared.get("timezone")
        return Declaration(fields, timezone, tuple(_declared_warnings(self.info)))


def _declared_warnings(info: TaskInfo) -> Iterable[str]:
    # Notes about hints are for who reads about the task; these are for who makes a job of it.
    return (note for note in info.notes if f"task {info.name!r} " in note)


def set_reported(app: Celery, infos: Iterable[TaskInfo]) -> None:
    """Let *app* know the tasks *infos*, and no other reported ones.

    Tasks whose code it has itself stay as they are. Other threads may use *app* meanwhile.
    """
    by_name = {info.name: info for info in infos}
    for name, info in by_name.items():
        known = app.tasks.get(name)
        if known is None or (isinstance(known, ReportedTask) and known.info != info):
            # By name: a task without code needs none of what Celery does with one.
            app.tasks[name] = ReportedTask(info)
    for name, task in list(app.tasks.items()):
        if isinstance(task, ReportedTask) and name not in by_name:
            app.tasks.pop(name, None)

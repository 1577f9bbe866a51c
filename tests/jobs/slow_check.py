"""A task whose check takes its time, so that others write meanwhile."""

from collections.abc import Callable
from typing import Annotated

from celery import Celery
from pydantic import AfterValidator

from tests.factories import tasks_app

#: The name of the task.
SLOW_CHECK = "slow_check"


def slow_check_app(meanwhile: list[Callable[[], object]], checked: list[int]) -> Celery:
    """Return an application whose task SLOW_CHECK calls one of *meanwhile* in each check.

    The task has one argument, `value`; *checked* gets each value that was checked.
    """

    def check(value: int) -> int:
        checked.append(value)
        if meanwhile:
            meanwhile.pop(0)()
        return value

    def slow_check(value: Annotated[int, AfterValidator(check)] = 0) -> None:
        """Do nothing."""

    app = tasks_app()
    app.task(name=SLOW_CHECK, shared=False)(slow_check)
    return app

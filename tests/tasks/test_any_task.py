"""The class of tasks works with each version of Celery that is allowed."""

import re
from pathlib import Path

from celery import Task

import jobs_app
from jobs_app.tasks import any_task
from jobs_app.tasks.any_task import AnyTask


def test_it_is_celerys_class() -> None:
    assert AnyTask is Task


def test_no_other_module_gives_the_class_parameters() -> None:
    own = Path(any_task.__file__)
    modules = [path for path in Path(jobs_app.__file__).parent.rglob("*.py") if path != own]

    assert not [path for path in modules if re.search(r"\bTask\[", path.read_text())]

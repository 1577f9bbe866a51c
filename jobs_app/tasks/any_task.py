"""Celery's Task for type hints and as a base class: before Celery 5.7 it takes no parameters."""

from typing import TYPE_CHECKING, Any, TypeAlias

from celery import Task

if TYPE_CHECKING:
    AnyTask: TypeAlias = Task[Any, Any]
else:
    AnyTask = Task

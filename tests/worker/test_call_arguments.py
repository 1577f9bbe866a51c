"""The arguments of a retry are kept by name, or the run fails and says why."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery, Task

from jobs_app.worker.call_arguments import CallArguments
from tests.tasks.test_parameters import in_a_session, logged

app = Celery("tests.call_arguments", set_as_current=False)


@app.task(bind=True, shared=False, name="pages")
def pages(self: Task[Any, Any], page: int = 1, size: int = 10) -> None:
    """Have defaults."""


@app.task(shared=False, name="copies", autoretry_for=(OSError,))
def copies(source: str, /, target: str = "there", *more: str, when: datetime | None = None) -> None:
    """Take arguments by position."""


@app.task(bind=True, shared=False, name="decorated")
@logged
def decorated(self: Task[Any, Any], page: int) -> None:
    """Have a decorator that passes everything on."""


@app.task(shared=False, name="injected")
@in_a_session
def injected(session: str, user_id: int) -> None:
    """Have a decorator that gives the first argument."""


@pytest.mark.parametrize(
    "task, stored, args, kwargs, kept",
    [
        (pages, {}, [2], {}, {"page": 2}),
        (pages, {"page": 1}, [2, 50], {}, {"page": 2, "size": 50}),
        (pages, {"page": 1, "size": 5}, [2], {"size": 5}, {"page": 2, "size": 5}),
        (pages, {}, [], {"size": 7}, {"size": 7}),
        (copies, {"source": "a"}, ["b"], {}, {"source": "b"}),
        (
            copies,
            {"source": "a"},
            ["b", "c", "d", "e"],
            {},
            {"source": "b", "target": "c", "more": ["d", "e"]},
        ),
        (copies, {"source": "a"}, ["b"], {"when": datetime(2026, 1, 1, tzinfo=UTC)}, None),
        (decorated, {"page": 1}, [2], {}, {"args": [2]}),
        (injected, {"user_id": 1}, [2], {}, {"args": [2]}),
    ],
)
def test_the_next_call_is_the_one_that_the_task_asked_for(
    task: Any, stored: dict[str, Any], args: list[Any], kwargs: dict[str, Any], kept: Any
) -> None:
    arguments = CallArguments.of(task, stored)

    named = arguments.for_retry(args, kwargs)

    assert named == (kept or {"source": "b", "when": "2026-01-01T00:00:00Z"})
    again = CallArguments.of(task, named)
    assert again.args + list(again.kwargs.values()) == args + list(kwargs.values())


@pytest.mark.parametrize(
    "args, kwargs, sentence",
    [
        ([1, 2, 3], {}, "has 3 positional arguments, and the task takes 2."),
        ([1], {"page": 2}, "two values for the argument 'page'."),
        ([], {"page": math.nan}, "'page' is not JSON"),
        ([object()], {}, "'page' is not JSON"),
        ([], {"page": {(1, 2): 3}}, "'page' is not JSON"),
        ([], {"page": "\ud800"}, "half of a surrogate pair"),
        ([], {"page": "a\x00"}, "U+0000"),
    ],
)
def test_a_call_that_cannot_be_kept_is_refused(
    args: list[Any], kwargs: dict[str, Any], sentence: str
) -> None:
    arguments = CallArguments.of(pages, {})

    with pytest.raises(ValueError, match=r".") as caught:
        arguments.for_retry(args, kwargs)

    assert sentence in str(caught.value)


def test_an_argument_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = 1
    for _ in range(255):
        deep = [deep]

    with pytest.raises(ValueError, match="'page' is nested deeper than 32 levels"):
        CallArguments.of(pages, {}).for_retry([], {"page": deep})


def test_a_missing_positional_argument_is_named() -> None:
    with pytest.raises(ValueError, match="'source' is missing"):
        CallArguments.of(copies, {"target": "b"})

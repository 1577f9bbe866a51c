"""A task is called as its outermost decorator takes it, and is given arguments by name."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, Task

from jobs_app.tasks.parameters import (
    call_of,
    names_of,
    parameters_of,
    positional_names,
    positional_parameters,
)

app = Celery("tests.parameters", set_as_current=False)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass everything on."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def in_a_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the first argument."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function("a session", *args, **kwargs)

    return call


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Take other arguments than the function inside."""

    @functools.wraps(function)
    def call(country: str, *, dry_run: bool = False) -> Any:
        return function(country, {"dry_run": dry_run})

    return call


@app.task(shared=False)
@in_a_session
def needs_session(session: Any, user_id: int) -> tuple[Any, int]:
    """Be given a session."""
    return session, user_id


@app.task(shared=False)
@with_settings
def needs_settings(country: str, settings: dict[str, Any]) -> None:
    """Be given settings."""


@app.task(shared=False, bind=True, autoretry_for=(OSError,))
@logged
def logs(self: Task[Any, Any], x: int, y: str = "") -> None:
    """Know oneself behind a decorator."""


@app.task(shared=False, bind=True, autoretry_for=(OSError,), pydantic=True)
def wrapped_by_celery(self: Task[Any, Any], x: int, *, y: str = "") -> None:
    """Have only Celery's own wrappers."""


@app.task(shared=False)
def takes_files(first: str, second: str = "b", *files: str, **options: int) -> None:
    """Take any number of files."""


def by_name(task: Any) -> dict[str, tuple[bool, str]]:
    return {p.name: (p.is_required, p.kind.name) for p in parameters_of(task.run)}


def test_celerys_own_wrappers_take_what_the_function_takes() -> None:
    assert by_name(wrapped_by_celery) == {
        "x": (True, "POSITIONAL_OR_KEYWORD"),
        "y": (False, "KEYWORD_ONLY"),
    }


def test_nothing_is_required_that_a_decorator_may_give() -> None:
    assert by_name(needs_session) == {
        "args": (False, "VAR_POSITIONAL"),
        "session": (False, "KEYWORD_ONLY"),
        "user_id": (False, "KEYWORD_ONLY"),
        "kwargs": (False, "VAR_KEYWORD"),
    }
    args, kwargs = call_of(parameters_of(needs_session.run), {"user_id": 5})
    assert needs_session.run(*args, **kwargs) == ("a session", 5)


def test_a_decorator_with_parameters_of_its_own_says_what_is_taken() -> None:
    assert by_name(needs_settings) == {
        "country": (True, "POSITIONAL_OR_KEYWORD"),
        "dry_run": (False, "KEYWORD_ONLY"),
    }


def test_hints_come_from_the_function_inside() -> None:
    hints = {p.name: p.annotation for p in parameters_of(logs.run)}

    assert (hints["x"], hints["y"]) == (int, str)
    assert "self" not in hints


@pytest.mark.parametrize(
    "named, args, kwargs",
    [
        ({"first": "a"}, [], {"first": "a"}),
        ({"first": "a", "files": []}, [], {"first": "a"}),
        ({"first": "a", "files": ["c"]}, ["a", "b", "c"], {}),
        ({"first": "a", "second": "x", "files": ["c", "d"]}, ["a", "x", "c", "d"], {}),
        ({"first": "a", "level": 3}, [], {"first": "a", "level": 3}),
    ],
)
def test_arguments_by_name_become_a_call(
    named: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> None:
    parameters = parameters_of(takes_files.run)

    assert call_of(parameters, named) == (args, kwargs)


def test_a_call_becomes_arguments_by_name() -> None:
    parameters = parameters_of(takes_files.run)

    assert names_of(parameters, ["a", "x", "c", "d"], {"level": 3}) == {
        "first": "a",
        "second": "x",
        "files": ["c", "d"],
        "level": 3,
    }


def test_files_without_the_argument_before_them_are_refused() -> None:
    with pytest.raises(ValueError, match="'first' is missing"):
        call_of(parameters_of(takes_files.run), {"files": ["c"]})


def test_the_names_of_positional_arguments_are_enough_to_name_those_of_a_call() -> None:
    def run(first: int, second: int = 2, *rest: int, only: int = 3, **more: int) -> None: ...

    names = positional_names(parameters_of(run))

    assert names == ["first", "second", "*rest"]
    named = names_of(positional_parameters(names), [1, 2, 3, 4], {"only": 5})
    assert named == {"first": 1, "second": 2, "rest": [3, 4], "only": 5}

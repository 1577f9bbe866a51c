"""A result that is work not done yet is no success."""

import asyncio
import io
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from celery import chain, signature
from celery.result import AsyncResult, EagerResult, GroupResult

from jobs_app.worker.output.secret_masking import Mask
from jobs_app.worker.results import UnfinishedResult, finished, storable, succeeded


async def fetches() -> int:
    """Be awaited by nobody."""
    return 1


def generates() -> Iterator[int]:
    """Wait for somebody to take the values."""
    yield 1


async def streams() -> AsyncIterator[int]:
    """Wait for somebody to take the values."""
    yield 1


def _future() -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.create_future()
    finally:
        loop.close()


UNFINISHED = [
    (fetches, "a coroutine that nobody awaited"),
    (_future, "a Future that nobody awaited"),
    (Future, "a Future that nobody awaited"),
    (generates, "a generator, whose values nobody took"),
    (streams, "an async_generator, whose values nobody took"),
    (lambda: map(str, [1]), "a map, whose values nobody took"),
    (lambda: filter(None, [1]), "a filter"),
    (lambda: zip([1], [2], strict=True), "a zip"),
    (lambda: iter([1]), "a list_iterator"),
    (lambda: reversed([1]), "a list_reverseiterator"),
    (lambda: enumerate([1]), "an enumerate"),
    (lambda: io.StringIO("x"), "a StringIO"),
    (lambda: AsyncResult("an-id", app=None), "the AsyncResult of other tasks"),
    (lambda: EagerResult("an-id", 1, "SUCCESS"), "the EagerResult of other tasks"),
    (lambda: GroupResult("an-id", []), "the GroupResult of other tasks"),
    (lambda: signature("tests.other"), "a signature of tests.other, which nobody called"),
    (lambda: chain(signature("a"), signature("b")), "a signature of celery.chain"),
]


@dataclass(slots=True)
class Report:
    """A value with fields."""

    rows: Any


class Rows(list[Any]):
    """A list of a user's own class, which must not run."""

    def __iter__(self) -> Iterator[Any]:
        raise SystemExit


class Pair(NamedTuple):
    """A tuple with names."""

    one: Any
    two: Any


WRAPS = [
    lambda value: value,
    lambda value: {"rows": [1, (value,)]},
    lambda value: Report([value]),
    lambda value: Rows([Pair(1, value)]),
    lambda value: OrderedDict(rows=value),
]


@pytest.mark.parametrize("make, sentence", UNFINISHED)
@pytest.mark.parametrize("wrap", WRAPS)
def test_work_that_nobody_did_is_named(make: Any, sentence: str, wrap: Any) -> None:
    with pytest.raises(UnfinishedResult) as caught:
        finished(wrap(make()))

    assert f"The task returned {sentence}" in str(caught.value)


@pytest.mark.parametrize(
    "value", [None, 1, "x", b"x", [1], {"a": {1}}, range(3), object(), {}, Report(1), Report]
)
def test_a_value_is_returned_as_it_is(value: Any) -> None:
    assert finished(value) is value


def test_a_long_list_of_results_is_named_too() -> None:
    with pytest.raises(UnfinishedResult):
        finished([AsyncResult(f"id-{number}", app=None) for number in range(5000)])


def test_a_change_of_a_result_is_the_reason_of_the_success() -> None:
    outcome = succeeded({"mean": float("nan")}, limit_bytes=1000)

    assert outcome.result == {"mean": None}
    assert outcome.reason == (
        "The result is stored with changes."
        " JSON has neither NaN nor infinity, so 1 of its numbers is null."
    )
    assert succeeded(1, limit_bytes=1000).reason is None


def test_a_result_above_the_limit_is_cut_after_it_was_masked() -> None:
    secret = "hunter2-hunter2"
    value = ["x" * (1024 - 10), secret, "y" * 5000]

    stored, _ = storable(value, 2000, Mask([secret]))

    assert stored["truncated"] is True
    assert stored["bytes"] > 5000
    assert "hunter" not in stored["head"]


def test_a_result_with_endless_parts_is_cut() -> None:
    value: Any = "hunter2-hunter2"
    for _ in range(40):
        value = [value, value]

    stored, _ = storable(value, 1000, Mask(["hunter2-hunter2"]))

    assert stored == {"truncated": True, "bytes": 2000, "head": ""}

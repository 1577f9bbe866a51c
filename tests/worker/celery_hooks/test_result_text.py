"""A result of which no text can be made is no error of its task."""

from typing import Any

import pytest
from celery import Celery

from jobs_app.worker.celery_hooks.result_text import tolerate_results_without_text, trace


class NoText(int):
    """A number whose class raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    "result",
    [10**5000, {"n": -(10**5000)}, {NoText(1)}, [NoText(1)]],
    ids=["long", "in a dict", "in a set", "in a list"],
)
def test_a_result_without_text_is_a_success(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    monkeypatch.setattr(trace, "saferepr", trace.saferepr)
    app = Celery("theirs", set_as_current=False)

    @app.task(shared=False)  # or each later application would get it
    def gives() -> Any:
        return result

    # Celery alone fails: otherwise this test proves nothing.
    with pytest.raises((ValueError, RuntimeError)):
        gives.apply()
    tolerate_results_without_text()

    assert gives.apply().get() == result


def test_other_results_have_the_text_that_celery_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "saferepr", trace.saferepr)
    values = ({"a": [1]}, "x" * 50)
    before = [trace.saferepr(value, 20) for value in values]

    tolerate_results_without_text()
    tolerate_results_without_text()

    assert [trace.saferepr(value, 20) for value in values] == before

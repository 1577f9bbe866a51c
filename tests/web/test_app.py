"""The web application answers each request, whatever user code does."""

from typing import NoReturn

import pytest

from tests.web.conftest import Api


class Skipped(BaseException):
    """An error of a test framework that is no Exception, like pytest's own."""


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), Skipped("here")])
def test_user_code_that_ends_its_thread_gets_an_answer(api: Api, error: BaseException) -> None:
    def describe() -> NoReturn:
        raise error

    views = api.app.view_functions
    [name] = [name for name in views if name.endswith("list_tasks")]
    views[name] = describe

    answer = api.get("/tasks")

    assert (answer.status_code, answer.json["code"]) == (500, "internal")

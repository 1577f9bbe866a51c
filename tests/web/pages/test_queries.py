"""What the address of a page asks for."""

import pytest
from flask import Flask

from jobs_app.core.errors import InvalidInput
from jobs_app.core.states import JobSort
from jobs_app.web.api.schemas.job_input import JobQuery
from jobs_app.web.pages.queries import read_query

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_empty_fields_take_their_defaults(app: Flask) -> None:
    with app.test_request_context("/jobs?q=&sort=&tag=a&other=1"):
        query = read_query(JobQuery, sort=JobSort.ATTENTION)

    assert (query.q, query.sort, query.tag) == (None, JobSort.ATTENTION, "a")


def test_a_wrong_value_is_refused(app: Flask) -> None:
    with app.test_request_context("/jobs?limit=many"), pytest.raises(InvalidInput):
        read_query(JobQuery)

"""The id of a start of `up`."""

from uuid import UUID

import pytest

from jobs_app.core import start_id


def test_each_start_has_an_id_of_its_own_which_its_processes_read() -> None:
    first, second = start_id.new(), start_id.new()

    assert first != second
    assert str(start_id.read({"PATH": "/bin"} | first)) == first[start_id.VARIABLE]
    assert isinstance(start_id.read(second), UUID)


@pytest.mark.parametrize("environment", [{}, {start_id.VARIABLE: ""}, {start_id.VARIABLE: "x"}])
def test_a_scheduler_without_up_has_none(environment: dict[str, str]) -> None:
    assert start_id.read(environment) is None

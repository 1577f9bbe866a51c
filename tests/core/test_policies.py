"""The groups of a job's fields that are carried whole: the tables hold each of their fields."""

from dataclasses import Field, fields
from typing import Any

import pytest

from jobs_app.core.policies import FirePolicy, RunLimits
from jobs_app.core.states import CatchupPolicy, OverlapPolicy
from jobs_app.db.columns import Base
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run

FIELDS = [
    *((Job, field) for field in fields(FirePolicy)),
    *((table, field) for table in (Job, Run) for field in fields(RunLimits)),
]


@pytest.mark.parametrize("table, field", FIELDS)
def test_each_field_is_a_column_with_the_same_default(table: type[Base], field: Field[Any]) -> None:
    column = table.__table__.c[field.name]

    assert column.nullable or column.default.arg == field.default


def test_a_fire_policy_is_read_from_the_columns_of_a_job() -> None:
    policy = FirePolicy(OverlapPolicy.BUFFER_ALL, 1, CatchupPolicy.ALL, 2, 3)
    columns = {field.name: getattr(policy, field.name) for field in fields(policy)}

    assert FirePolicy.of(Job(**columns)) == policy


@pytest.mark.parametrize("table", [Job, Run])
def test_limits_are_read_from_the_columns_of_a_job_or_a_run(table: type[Base]) -> None:
    columns = {"soft_time_limit_seconds": 1, "time_limit_seconds": 2, "kill_grace_seconds": 3}

    assert RunLimits.of(table(**columns)) == RunLimits(**columns)

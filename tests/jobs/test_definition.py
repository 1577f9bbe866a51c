"""A job's fields are its own, else as its task declares them, else the installation's."""

from typing import Any

import pytest
from celery import Celery

from jobs_app.core.settings import Settings
from jobs_app.jobs.definition import from_document
from jobs_app.schedules.union import parts_of

# Celery warns of options that people still use.
pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")

SETTINGS = Settings(timezone="America/New_York")


@pytest.fixture(scope="module")
def app() -> Celery:
    app = Celery("tests.definition", set_as_current=False)
    app.conf.update(timezone="Europe/Paris")

    @app.task(shared=False, name="slow", time_limit=30, soft_time_limit=20, queue="slow")
    def slow() -> None:
        """Take long."""

    @app.task(shared=False, name="plain")
    def plain() -> None:
        """Declare nothing."""

    app.finalize()
    return app


@pytest.mark.parametrize(
    "document, limits, queue",
    [
        ({"task": "slow"}, (30, 20), "slow"),
        ({"task": "slow", "queue": "mine", "time_limit_seconds": 60}, (60, 20), "mine"),
        ({"task": "slow", "time_limit_seconds": 10}, (10, None), "slow"),
        ({"task": "slow", "time_limit_seconds": None}, (None, 20), "slow"),
        ({"task": "slow", "soft_time_limit_seconds": 90}, (None, 90), "slow"),
        ({"task": "plain"}, (None, None), "default"),
        ({"task": "unknown"}, (None, None), "default"),
    ],
)
def test_a_job_counts_before_its_task_and_its_task_before_the_installation(
    app: Celery, document: dict[str, Any], limits: tuple[int | None, int | None], queue: str
) -> None:
    definition = from_document(document, SETTINGS, name="a", app=app)

    found = definition.limits
    assert (found.time_limit_seconds, found.soft_time_limit_seconds) == limits
    assert definition.queue == queue


@pytest.mark.parametrize(
    "task, timezone, expected",
    [
        ("slow", None, "Europe/Paris"),
        ("slow", "Asia/Tokyo", "Asia/Tokyo"),
        ("unknown", None, "America/New_York"),
    ],
)
def test_the_time_zone_of_the_application_is_that_of_the_schedule(
    app: Celery, task: str, timezone: str | None, expected: str
) -> None:
    schedule = {"cron": "0 6 * * *"} | ({"timezone": timezone} if timezone else {})

    definition = from_document({"task": task, "schedule": schedule}, SETTINGS, name="a", app=app)

    assert definition.schedule is not None
    assert definition.schedule.timezone == expected


@pytest.mark.parametrize("timezone", [None, "", "Asia/Tokyo"])
@pytest.mark.parametrize("prefix", ["TZ=Asia/Tokyo", "CRON_TZ = Asia/Tokyo"])
def test_a_zone_in_front_of_a_cron_expression_is_that_of_the_schedule(
    app: Celery, prefix: str, timezone: str | None
) -> None:
    document = {"cron": f"{prefix} 30 2 * * *", "timezone": timezone}

    definition = from_document({"task": "slow", "schedule": document}, SETTINGS, name="a", app=app)

    (schedule,) = parts_of(definition.schedule)
    assert (schedule.cron, schedule.timezone) == ("30 2 * * *", "Asia/Tokyo")

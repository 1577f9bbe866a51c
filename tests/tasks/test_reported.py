"""A reported task is known where its code is not."""

from dataclasses import replace
from typing import Any

import pytest
from celery import Celery

from jobs_app.tasks import registry
from jobs_app.tasks.reported import ReportedTask, set_reported
from jobs_app.tasks.task_info import TaskInfo

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"country": {"type": "string"}},
    "required": ["country"],
    "additionalProperties": False,
}
WARNING = "The task 'shop.report' declares rate_limit='1/m', which runs do not follow."
DECLARED = {"queue": "shop", "timezone": "Asia/Tokyo"}
INFO = TaskInfo("shop.report", "Adds up.", SCHEMA, ["country"], DECLARED, [WARNING, "A hint."])


@pytest.fixture
def app() -> Celery:
    made = Celery("ours", set_as_current=False)
    made.finalize()
    return made


def test_the_registry_knows_it_as_if_its_code_were_here(app: Celery) -> None:
    set_reported(app, [INFO])

    assert "shop.report" in registry.names(app)
    assert registry.task_info(app, "shop.report") == INFO
    assert INFO in registry.tasks(app)
    assert registry.check(app, "shop.report", {"country": "fr"}) == []
    codes = [fault.code for fault in registry.check(app, "shop.report", {"days": 1})]
    assert codes == ["missing_argument", "unknown_argument"]
    declared = registry.declaration(app, "shop.report")
    assert (declared.fields, declared.timezone) == ({"queue": "shop"}, "Asia/Tokyo")
    assert registry.task_warnings(app, "shop.report") == [WARNING]
    assert registry.argument_warnings(app, "shop.report", {"country": "fr"}) == []
    assert not registry.runs_commands(app, "shop.report")
    # Who only knows it reports nothing of it.
    assert INFO not in registry.own_tasks(app)


def test_a_newer_report_replaces_it_and_a_task_of_this_process_stays(app: Celery) -> None:
    @app.task(name="shop.own")
    def own() -> None:
        """Be here."""

    set_reported(app, [INFO, replace(INFO, name="shop.own"), replace(INFO, name="shop.old")])
    first = app.tasks["shop.report"]

    set_reported(app, [INFO])
    assert app.tasks["shop.report"] is first
    set_reported(app, [replace(INFO, has_worker=False)])

    stale: Any = app.tasks["shop.report"]
    assert not stale.info.has_worker
    assert "shop.old" not in app.tasks
    assert app.tasks["shop.own"] is not None
    assert not isinstance(app.tasks["shop.own"], ReportedTask)
    assert own.name == "shop.own"


def test_it_cannot_be_called_here(app: Celery) -> None:
    set_reported(app, [INFO])

    with pytest.raises(RuntimeError, match="not in this process"):
        app.tasks["shop.report"].run()

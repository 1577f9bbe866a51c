"""A job's document as the texts of a form, and back."""

from typing import Any

import pytest

from jobs_app.core.settings import Settings
from jobs_app.jobs.definition import from_document
from jobs_app.jobs.document import as_json
from jobs_app.web.pages.job_document import document_from, texts_of
from jobs_app.web.pages.job_fields import Defaults

SCHEMA: dict[str, Any] = {
    "properties": {"command": {"type": "string"}, "cwd": {"type": "string"}},
    "required": ["command"],
    "additionalProperties": False,
}
SETTINGS = Settings()


def defaults(**fields: Any) -> Defaults:
    """Return the defaults of a task that declares *fields*."""
    plain = as_json(from_document({"task": "shell"} | fields, SETTINGS, name="x"))
    return Defaults(plain, {"keep_runs": 100, "keep_days": 30}, "UTC")


BASE: dict[str, Any] = {"name": "nightly", "task": "shell", "kwargs": {"command": "true"}}
CRON = {"cron": "30 2 * * *", "timezone": "Europe/Paris", "jitter_seconds": 0}
AT = {"at": "2026-12-01T08:00:00Z", "timezone": "Europe/Paris", "jitter_seconds": 0}
EVERY = {
    "interval_seconds": 900,
    "anchor_at": "2026-11-23T12:00:00+00:00",
    "timezone": "UTC",
    "start_at": "2026-11-23T12:00:00.250Z",
    "jitter_seconds": 30,
}
EVERY_2_WEEKS = {
    "every": "2 weeks",
    "anchor_at": "2026-11-23T12:00:00+00:00",
    "timezone": "Europe/Paris",
    "jitter_seconds": 30,
}
RETRY = {"max_attempts": 3, "delay_seconds": 0.5, "backoff": "constant", "on": ["lost", "failed"]}
RULE = {"channel": "ops", "on": ["lost", "failed"], "after_failures": 2, "late_after_seconds": 90}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"schedule": CRON},
        {"schedule": AT},
        {"schedule": EVERY},
        {"schedule": EVERY_2_WEEKS},
        {"description": "one\ntwo", "tags": ["a", "b"]},
        {"overlap_policy": "buffer_all", "starting_deadline_seconds": 0, "catchup_policy": "all"},
        {"catchup_window_seconds": 7200, "catchup_max_runs": 7},
        {"time_limit_seconds": 60, "kill_grace_seconds": 0, "soft_time_limit_seconds": 90},
        {"retry": RETRY},
        {"retry": {"max_attempts": 2, "jitter": False, "on": []}},
        {"queue": "slow", "priority": 0, "concurrency_key": "db", "concurrency_limit": 2},
        {"max_runs": 5, "pause_after_failures": 3},
        {"retention": {"keep_days": 7}},
        {"notify": []},
        {"notify": [RULE, {"channel": "mail"}]},
        {"run_arguments": ["cwd", "command"]},
        {"run_arguments": ["other", "cwd"]},
        {"kwargs": {"command": "true", "other": [1]}},
    ],
)
def test_a_document_comes_back_from_its_texts(fields: dict[str, Any]) -> None:
    document = BASE | {"schedule": None} | fields

    texts = texts_of(document, SCHEMA, defaults(), zone="UTC")

    assert document_from(texts, SCHEMA, defaults()) == (document, [])


def test_a_field_at_its_default_is_left_out() -> None:
    whole = {**defaults().document} | BASE | {"schedule": CRON}

    texts = texts_of(whole, SCHEMA, defaults(), zone="UTC")

    assert document_from(texts, SCHEMA, defaults())[0] == BASE | {"schedule": CRON}


def test_a_field_at_another_default_than_that_of_its_task_is_sent() -> None:
    declared = defaults(queue="slow", time_limit_seconds=None)
    document = BASE | {"schedule": None, "queue": "default", "time_limit_seconds": 3600}

    texts = texts_of(document, SCHEMA, declared, zone="UTC")

    assert document_from(texts, SCHEMA, declared)[0] == document


def test_no_limit_is_not_the_same_as_the_default_limit() -> None:
    blank = {"/time_limit_seconds": ""}

    declared = defaults(time_limit_seconds=3600)

    assert "time_limit_seconds" not in document_from(blank, SCHEMA, declared)[0]
    none = blank | {"blank:/time_limit_seconds": "null"}
    assert document_from(none, SCHEMA, declared)[0]["time_limit_seconds"] is None


def test_only_the_chosen_kind_of_schedule_is_sent() -> None:
    texts = texts_of(BASE | {"schedule": CRON}, SCHEMA, defaults(), zone="UTC")
    texts |= {"/schedule": "interval_seconds", "/schedule/interval_seconds": "15"}
    texts |= {"unit:/schedule/interval_seconds": "min", "/schedule/at": "tomorrow"}

    schedule = document_from(texts, SCHEMA, defaults())[0]["schedule"]

    assert schedule == {"interval_seconds": 900, "timezone": "Europe/Paris", "jitter_seconds": 0}


@pytest.mark.parametrize("kind", ["cron", "interval_seconds", "every", "at"])
def test_a_kind_of_schedule_without_its_text_is_an_error_there(kind: str) -> None:
    _, errors = document_from({"/schedule": kind}, SCHEMA, defaults())

    assert [error.pointer for error in errors] == [f"/schedule/{kind}"]


def test_what_is_typed_wrongly_is_sent_for_the_server_to_refuse() -> None:
    texts = {"/priority": "high", "/time_limit_seconds": "an hour", "/overlap_policy": "queue"}

    document, errors = document_from(texts, SCHEMA, defaults())

    assert errors == []
    assert (
        document.items()
        >= {
            "priority": "high",
            "time_limit_seconds": "an hour",
            "overlap_policy": "queue",
        }.items()
    )


def test_arguments_may_be_typed_as_one_json_object() -> None:
    texts = {"as:/kwargs": "json", "/kwargs": '{"command": "x"}', "/kwargs/cwd": "/tmp"}

    assert document_from(texts, SCHEMA, defaults())[0]["kwargs"] == {"command": "x"}

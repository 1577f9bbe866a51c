"""Two changes of one job: what one changed is taken, what both changed has to be chosen."""

from typing import Any

import pytest

from jobs_app.jobs.merge import compare, merged

BASE: dict[str, Any] = {
    "name": "nightly",
    "tags": ["infra"],
    "task": "shell",
    "kwargs": {"command": "true", "cwd": "/"},
    "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Paris", "jitter_seconds": 0},
    "retry": {"max_attempts": 1},
    "retention": {},
    "time_limit_seconds": 3600,
    "notify": None,
}


def with_(**changes: Any) -> dict[str, Any]:
    """Return the base with these changes; a mapping changes single fields."""
    document = dict(BASE)
    for name, value in changes.items():
        old = BASE[name]
        document[name] = (old | value) if isinstance(value, dict) and old else value
    return document


def test_what_only_one_changed_is_taken() -> None:
    theirs = with_(time_limit_seconds=60, kwargs={"cwd": "/tmp"})
    yours = with_(tags=["infra", "eu"], kwargs={"command": "false"})

    document, unresolved = merged(BASE, theirs, yours, {})

    assert unresolved == []
    assert document == with_(
        time_limit_seconds=60, tags=["infra", "eu"], kwargs={"command": "false", "cwd": "/tmp"}
    )


def test_the_same_change_by_both_needs_no_choice() -> None:
    both = with_(time_limit_seconds=60)

    assert merged(BASE, both, both, {}) == (both, [])
    assert [field.taken for field in compare(BASE, both, both)] == ["theirs"]


@pytest.mark.parametrize("choice, seconds", [("theirs", 60), ("yours", 90)])
def test_what_both_changed_is_chosen(choice: str, seconds: int) -> None:
    theirs, yours = with_(time_limit_seconds=60), with_(time_limit_seconds=90)

    assert merged(BASE, theirs, yours, {})[1] == ["time_limit_seconds"]
    document, unresolved = merged(BASE, theirs, yours, {"time_limit_seconds": choice})

    assert (document["time_limit_seconds"], unresolved) == (seconds, [])


def test_only_fields_that_differ_are_compared() -> None:
    fields = compare(BASE, with_(tags=["eu"]), with_(retry={"max_attempts": 3}))

    assert [(field.name, field.taken) for field in fields] == [
        ("retry.max_attempts", "yours"),
        ("tags", "theirs"),
    ]


def test_a_schedule_never_has_two_kinds() -> None:
    every = {"interval_seconds": 60, "anchor_at": "2026-11-23T12:00:00Z", "timezone": "UTC"}
    theirs = with_() | {"schedule": every | {"jitter_seconds": 5}}
    yours = with_(schedule={"cron": "0 3 * * *"})

    document, unresolved = merged(BASE, theirs, yours, {"schedule.when": "yours"})

    assert unresolved == []
    assert document["schedule"] == {
        "cron": "0 3 * * *",
        "timezone": "UTC",
        "jitter_seconds": 5,
    }


def test_a_schedule_that_one_took_away_is_chosen_as_a_whole() -> None:
    theirs, yours = with_(schedule={"timezone": "UTC"}), with_() | {"schedule": None}

    assert [field.name for field in compare(BASE, theirs, yours)] == ["schedule"]
    assert merged(BASE, theirs, yours, {"schedule": "yours"})[0] == yours
    assert merged(BASE, theirs, yours, {"schedule": "theirs"})[0] == theirs


def test_arguments_of_two_tasks_are_not_mixed() -> None:
    theirs = with_(kwargs={"cwd": "/tmp"})
    yours = with_(task="sleep") | {"kwargs": {"duration": 1}}

    document, unresolved = merged(BASE, theirs, yours, {})

    assert unresolved == ["kwargs"]
    assert document["task"] == "sleep"
    assert merged(BASE, theirs, yours, {"kwargs": "yours"})[0]["kwargs"] == {"duration": 1}


def test_an_argument_that_one_removed_is_gone() -> None:
    yours = with_() | {"kwargs": {"command": "true"}}

    assert merged(BASE, with_(tags=[]), yours, {})[0] == with_(tags=[]) | {
        "kwargs": {"command": "true"}
    }


def test_a_secret_that_the_base_only_has_masked_is_not_undone() -> None:
    base = with_(kwargs={"token": "***"})
    theirs = with_(kwargs={"token": "new"})
    yours = with_(kwargs={"token": "old"})

    assert merged(base, theirs, yours, {})[1] == ["kwargs.token"]
    assert merged(base, theirs, theirs, {}) == (theirs, [])


def test_a_name_with_dots_is_one_argument() -> None:
    yours = with_(kwargs={"a.b": 1, "a": {"b": 2}})

    assert merged(BASE, with_(tags=[]), yours, {})[0] == with_(
        tags=[], kwargs={"a.b": 1, "a": {"b": 2}}
    )


def test_a_base_without_fields_leaves_the_choice_to_the_person() -> None:
    theirs, yours = with_(tags=["eu"]), with_(tags=["us"], time_limit_seconds=5)

    document, unresolved = merged({}, theirs, yours, {})

    assert set(unresolved) == {"tags", "time_limit_seconds"}
    assert document == theirs


SATURDAY = {"cron": "0 12 * * 6", "timezone": "Europe/Paris", "jitter_seconds": 0}


def several(*schedules: dict[str, Any]) -> dict[str, Any]:
    """Return the base with these schedules, in the one field that they have."""
    document = {name: value for name, value in BASE.items() if name != "schedule"}
    return document | {"schedules": list(schedules)}


def test_a_second_schedule_and_another_change_are_both_taken() -> None:
    yours = several(BASE["schedule"], SATURDAY)

    document, unresolved = merged(BASE, with_(time_limit_seconds=60), yours, {})

    assert unresolved == []
    assert document == yours | {"time_limit_seconds": 60}


def test_a_second_schedule_and_another_first_one_have_to_be_chosen() -> None:
    theirs, yours = with_(schedule={"cron": "0 4 * * *"}), several(BASE["schedule"], SATURDAY)

    _, unresolved = merged(BASE, theirs, yours, {})
    document, _ = merged(BASE, theirs, yours, {"schedules": "theirs"})

    assert unresolved == ["schedules"]
    assert document["schedules"] == [theirs["schedule"]]
    assert "schedule" not in document

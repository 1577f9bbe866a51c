"""What is typed as an argument is JSON where it is JSON, else text."""

import json
from typing import Any

import click
import pytest

from jobs_app.cli.job_options import (
    OPTIONS,
    job_patch,
    kwargs_from,
    overlaid,
    parse_document,
    read_json,
    with_options,
    writable,
)
from tests.cli.canned import Canned, CannedServer, a_job
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    "text, value",
    [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("[1, NaN]", "[1, NaN]"),
        ('{"x": 1e999}', '{"x": 1e999}'),
        ("9" * 5000, "9" * 5000),
        ("[" * 100_000, "[" * 100_000),
        ("1e3", 1000.0),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("a=b", "a=b"),
    ],
)
def test_an_argument_is_json_only_if_json_knows_it(text: str, value: Any) -> None:
    assert kwargs_from({"arguments": [f"x={text}"]}) == {"x": value}


def test_a_field_that_is_true_or_false_has_an_option() -> None:
    (option,) = (option for option in OPTIONS if option.flag == "--confirm")

    for text, value in {"true": True, "no": False}.items():
        assert option.type.convert(text, None, None) is value
        assert with_options({}, {option.parameter: value}) == {"confirm": value}


@pytest.mark.parametrize(
    "typed, kwargs",
    [
        ({"shell_user": "backup"}, {"command": "x", "user": "backup"}),
        ({"shell_user": ""}, {"command": "x"}),
        (
            {"shell_user": "backup", "kwargs": '{"command": "y"}'},
            {"command": "y", "user": "backup"},
        ),
    ],
)
def test_an_account_is_an_argument_of_the_command(typed: dict[str, Any], kwargs: Any) -> None:
    job = {"task": "shell", "kwargs": {"command": "x", "user": "www-data"}}

    assert with_options(job, typed)["kwargs"] == kwargs


def test_an_account_is_for_commands_only() -> None:
    with pytest.raises(click.UsageError, match="task shell"):
        with_options({"task": "http", "kwargs": {}}, {"shell_user": "backup"})


@pytest.mark.parametrize("text", ['{"x": NaN}', '{"x": 1e999}', '{"x": -Infinity}'])
def test_kwargs_that_are_no_json_are_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="JSON has no number"):
        kwargs_from({"kwargs": text})
    with pytest.raises(click.UsageError, match="JSON has no number"):
        parse_document(text, where="a.json")


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(click.UsageError, match="nested too deeply"):
        parse_document('{"x": ' * 100_000, where="a.json")


@pytest.mark.parametrize("number", [".nan", ".inf", "1e999"])
def test_a_number_of_yaml_that_json_lacks_is_one_sentence(
    server: CannedServer, run: Run, number: str
) -> None:
    server.on("GET", "/jobs/x", Canned(a_job(name="x")))

    result = run(
        "job", "import", "-", stdin=f"jobs:\n  x: {{task: sleep, kwargs: {{a: {number}}}}}"
    )

    assert result.exit_code != 0
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_json_is_read_as_the_standard_has_it() -> None:
    assert read_json(json.dumps({"a": [1.5, True, None]})) == {"a": [1.5, True, None]}


DAILY = {"cron": "30 2 * * *", "timezone": "Europe/Paris", "jitter_seconds": 0}
NOON = {"cron": "0 12 * * 6", "timezone": "Europe/Paris", "jitter_seconds": 0}


def test_an_answer_is_sent_back_with_its_schedules_in_one_field() -> None:
    one = {"schedule": DAILY, "schedules": [DAILY]}
    none: dict[str, Any] = {"schedule": None, "schedules": []}
    several = {"schedule": DAILY, "schedules": [DAILY, NOON]}
    # The server refuses it: nothing of it must be dropped here.
    disagreeing = {"schedule": NOON, "schedules": [DAILY]}

    assert writable(one) == {"schedule": DAILY}
    assert writable(none) == {"schedule": None}
    assert writable(several) == {"schedules": [DAILY, NOON]}
    assert writable(disagreeing) == disagreeing


def test_a_second_schedule_replaces_the_field_of_one() -> None:
    before = {"name": "a", "schedule": DAILY}

    after = with_options(before, {"cron": (DAILY["cron"], NOON["cron"])})

    assert after == {"name": "a", "schedules": [DAILY, NOON]}
    assert job_patch(before, after) == {"schedules": [DAILY, NOON]}


def test_one_schedule_of_a_job_that_has_several_is_sent_as_a_list() -> None:
    before = {"name": "a", "schedules": [DAILY, NOON]}

    typed = with_options(before, {"cron": (NOON["cron"],)})
    read = overlaid(before, {"schedule": NOON})
    manual = with_options(before, {"manual": True})

    assert job_patch(before, typed) == job_patch(before, read) == {"schedules": [NOON]}
    assert job_patch(before, manual) == {"schedules": []}
    assert job_patch(before, overlaid(before, {"schedule": None})) == {"schedule": None}
    assert job_patch(before, overlaid(before, {"queue": "slow"})) == {"queue": "slow"}

"""Each of --cron, --every and --at is a schedule; the other options are for all of them."""

import click
import pytest

from jobs_app.cli.schedule_options import schedules_from
from jobs_app.schedules.typed_time import parse
from tests.cli.canned import Canned, CannedServer, a_job
from tests.cli.conftest import Run

PARIS = {"timezone": "Europe/Paris"}


def test_a_local_start_is_in_the_zone_in_front_of_the_expression() -> None:
    typed = parse("2026-12-04 09:00")

    (schedule,) = schedules_from({"cron": ("TZ=Asia/Tokyo 0 5 * * *",), "start_at": typed})

    assert schedule["start_at"] == "2026-12-04T00:00:00Z"


def test_several_schedules_have_the_zone_and_the_window_of_the_first_one_before() -> None:
    before = {"interval_seconds": 60, "anchor_at": "2026-01-01T00:00:00Z", **PARIS}
    before |= {"end_at": "2030-01-01T00:00:00Z", "start_at": None}

    schedules = schedules_from({"cron": ("0 9 * * *",), "every": (60, "2 weeks")}, present=[before])

    common = {**PARIS, "end_at": "2030-01-01T00:00:00Z"}
    assert schedules == [
        {"cron": "0 9 * * *", **common},
        {"interval_seconds": 60, **common},
        {"every": "2 weeks", **common},
    ]


def test_an_only_schedule_keeps_its_anchor() -> None:
    before = {"interval_seconds": 60, "anchor_at": "2026-01-01T00:00:00Z"}

    assert schedules_from({"every": (90,)}, present=[before]) == [before | {"interval_seconds": 90}]


def test_options_without_a_kind_are_for_all_schedules() -> None:
    present = [{"cron": "0 9 * * *"}, {"every": "1 day"}, {"cron": "0 12 * * 6", **PARIS}]
    options = {"timezone": "Asia/Tokyo", "jitter": 30, "anchor": parse("2026-12-04 09:00")}

    changed = schedules_from(options, present=present)

    common = {"timezone": "Asia/Tokyo", "jitter_seconds": 30}
    assert changed == [
        {"cron": "0 9 * * *", **common},
        {"every": "1 day", "anchor_at": "2026-12-04T00:00:00Z", **common},
        {"cron": "0 12 * * 6", **common},
    ]


def test_a_zone_in_front_of_an_expression_is_its_own() -> None:
    crons = ("0 9 * * *", "TZ=Asia/Tokyo 0 9 * * *")

    with_zone, other = schedules_from({"cron": crons}, present=[{"cron": "@daily", **PARIS}])

    assert with_zone == {"cron": crons[0], **PARIS}
    # The server reads it there.
    assert other == {"cron": crons[1]}


def test_a_manual_job_has_no_schedule() -> None:
    assert schedules_from({"manual": True}, present=[{"cron": "@daily"}]) == []
    with pytest.raises(click.UsageError, match="--cron and --manual"):
        schedules_from({"manual": True, "cron": ("@daily",)})


def test_a_job_is_made_with_each_schedule_that_was_typed(server: CannedServer, run: Run) -> None:
    server.on("POST", "/jobs", Canned(a_job(), status=201))

    result = run(
        *("job", "create", "x", "--command", "true", "--timezone", "Europe/Paris"),
        *("--cron", "0 9 * * 1-5", "--every", "90m", "--cron", "0 12 * * 6"),
    )

    assert result.exit_code == 0, result.stderr
    body = server.requests[0].body
    assert "schedule" not in body
    assert body["schedules"] == [
        {"cron": "0 9 * * 1-5", **PARIS},
        {"cron": "0 12 * * 6", **PARIS},
        {"interval_seconds": 5400, **PARIS},
    ]


def test_the_preview_takes_several_schedules(server: CannedServer, run: Run) -> None:
    server.on(
        "POST",
        "/schedules/preview",
        Canned({"description": "Twice", "fires": [], "warnings": []}),
    )

    result = run("schedule", "preview", "0 9 * * *", "--cron", "0 12 * * 6")

    assert result.exit_code == 0, result.stderr
    assert server.requests[0].body["schedules"] == [{"cron": "0 9 * * *"}, {"cron": "0 12 * * 6"}]


def test_an_error_of_a_schedule_is_named_by_its_option(server: CannedServer, run: Run) -> None:
    error = {"pointer": "/schedules/1/cron", "code": "x", "detail": "minute 61 is out of range."}
    same = {"pointer": "/schedules/2", "code": "x", "detail": "This is the same."}
    body = {"title": "Not valid", "detail": error["detail"], "code": "x", "errors": [error, same]}
    server.on("POST", "/jobs", Canned(body, status=422))

    crons = ("--cron", "0 9 * * *", "--cron", "61 9 * * *")
    result = run("job", "create", "x", "--command", "true", *crons)

    assert result.exit_code == 2
    assert "--cron of schedule 2: minute 61 is out of range." in result.stderr
    assert "  schedule 3: This is the same." in result.stderr


def test_a_start_of_jobs_app_is_a_schedule_beside_others() -> None:
    options = {"cron": ("0 9 * * *",), "on_start": True, "timezone": "Europe/Paris"}
    before = {"interval_seconds": 60, "anchor_at": "2026-01-01T00:00:00Z", "jitter_seconds": 5}

    both = schedules_from(options)
    alone = schedules_from({"on_start": True}, present=[before])

    assert both == [{"cron": "0 9 * * *", **PARIS}, {"on": "start", **PARIS}]
    assert alone == [{"on": "start", "jitter_seconds": 5}]
    with pytest.raises(click.UsageError, match="--on-start and --manual"):
        schedules_from({"on_start": True, "manual": True})

"""A second import finds the jobs of the first, and keeps what people have set on them."""

from typing import Any

from jobs_app.jobs.importers.drafts import Defaults, Draft, documents, find_present

DESCRIBED = ("command", "stdin", "env", "cwd", "shell")
DEFAULTS = Defaults(origin="crontab a:b", timezone="Europe/Paris")


def draft(name: str, command: str, cron: str = "0 1 * * *", **kwargs: Any) -> Draft:
    return Draft(name, "shell", {"command": command, **kwargs}, {"cron": cron}, None, DESCRIBED)


def job(name: str, command: str, cron: str = "0 1 * * *", **fields: Any) -> dict[str, Any]:
    schedule = {"cron": cron, "timezone": "Europe/Paris", "jitter_seconds": 0}
    return {
        "name": name,
        "task": "shell",
        "kwargs": {"command": command},
        "schedule": schedule,
        "tags": [],
    } | fields


def test_lines_find_their_jobs_by_command_and_schedule_then_by_command_then_by_name():
    drafts = [
        draft("sync", "sync.sh", "0 9 * * *"),
        draft("sync", "sync.sh", "0 1 * * *"),
        draft("backup", "backup.sh --new"),
        draft("other", "other.sh"),
    ]
    jobs = [job("sync", "sync.sh"), job("sync-2", "sync.sh", "0 2 * * *"), job("backup-3", "b")]

    present = find_present(drafts, jobs)

    assert [found and found["name"] for found in present] == ["sync-2", "sync", "backup-3", None]


def test_a_changed_line_changes_only_what_the_line_says():
    before = job(
        "backup",
        "backup.sh",
        time_limit_seconds=7200,
        tags=["mine"],
        kwargs={"command": "backup.sh", "stdin": "old", "success_exit_codes": [1]},
        schedule={"cron": "0 1 * * *", "timezone": "Asia/Tokyo", "jitter_seconds": 60},
    )
    later = draft("backup", "backup.sh", "0 2 * * *", env={"A": "b"})

    (document,) = documents([later], [before], taken={"backup"}, defaults=DEFAULTS)

    assert document == before | {
        "kwargs": {"command": "backup.sh", "env": {"A": "b"}, "success_exit_codes": [1]},
        "schedule": {"cron": "0 2 * * *", "timezone": "Asia/Tokyo", "jitter_seconds": 60},
    }


def test_what_is_asked_for_comes_on_top_of_a_present_job():
    defaults = Defaults("x", "UTC", True, {"overlap_policy": "allow_all"}, ["web1"])

    (document,) = documents(
        [draft("b", "b")], [job("b", "b", tags=["mine"])], taken={"b"}, defaults=defaults
    )

    assert document["tags"] == ["mine", "web1"]
    assert document["schedule"]["timezone"] == "UTC"
    assert document["overlap_policy"] == "allow_all"


def test_new_jobs_get_names_that_nobody_has():
    drafts = [draft("b", "b"), draft("b", "b", "@daily"), draft("c", "c")]

    made = documents(drafts, [None] * 3, taken={"b", "c"}, defaults=DEFAULTS)

    assert [document["name"] for document in made] == ["b-2", "b-3", "c-2"]
    assert {document["origin"] for document in made} == {"crontab a:b"}

"""A second import finds the jobs of the first, and keeps what people have set on them."""

from typing import Any

from jobs_app.jobs.importers.drafts import (
    Defaults,
    Draft,
    Import,
    documents,
    find_present,
    keep_edits,
    same_task,
)

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


def test_a_changed_line_keeps_the_schedules_that_people_have_added():
    added = {"cron": "0 12 * * 6", "timezone": "Europe/Paris", "jitter_seconds": 0}
    before = job("backup", "backup.sh")
    first = before.pop("schedule")
    before["schedules"] = [first, added]
    later = draft("backup", "backup.sh", "0 2 * * *")

    present = find_present([later], [before])
    (document,) = documents([later], present, taken={"backup"}, defaults=DEFAULTS)

    assert document == before | {"schedules": [first | {"cron": "0 2 * * *"}, added]}


def test_an_entry_that_any_schedule_of_another_job_does_is_the_same_task() -> None:
    schedules = [{"interval_seconds": 60}, {"cron": "0 1 * * *", "timezone": "UTC"}]
    other = task_job("other", schedule=schedules[0], schedules=schedules)

    assert same_task(entry("a", cron="0 1 * * *"), [other]) is other
    assert same_task(entry("a", cron="0 2 * * *"), [other]) is None


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


def entry(name: str, seconds: int = 1, cron: str = "0 1 * * *", **fields: Any) -> Draft:
    kwargs = {"seconds": seconds}
    return Draft(name, "t", kwargs, {"cron": cron}, None, None, is_named=True, **fields)


def task_job(name: str, seconds: int = 1, cron: str = "0 1 * * *", **fields: Any) -> dict[str, Any]:
    return job(name, "", cron, task="t", kwargs={"seconds": seconds}) | fields


def test_entries_find_their_jobs_by_name_then_by_all_that_they_say() -> None:
    drafts = [
        entry("report", 2),
        entry("report"),
        entry("renamed", 5, "0 5 * * *"),
        entry("sync", 6),
        entry("new", 7),
    ]
    jobs = [
        task_job("report-2", 2),
        task_job("report"),
        task_job("old", 5, "0 5 * * *"),
        task_job("web1-sync", 9),
        task_job("web1-new", 9, task="other"),
    ]

    present = find_present(drafts, jobs)

    assert [found and found["name"] for found in present] == [
        "report-2",
        "report",
        "old",
        "web1-sync",
        None,
    ]


def test_an_entry_determines_its_task_its_arguments_and_its_fields() -> None:
    before = task_job("report", old=True, queue="mine", priority=9, task="before")
    changed = entry("report", 2, fields={"queue": "slow"})

    (document,) = documents([changed], [before], taken={"report"}, defaults=DEFAULTS)

    assert document == before | {"task": "t", "kwargs": {"seconds": 2}, "queue": "slow"}


def test_an_interval_keeps_the_anchor_that_its_job_has() -> None:
    schedule = {"interval_seconds": 60, "anchor_at": "2026-01-01T00:00:30Z"}
    later = {"interval_seconds": 60, "anchor_at": "2026-05-05T05:05:05Z"}
    before = task_job("poll", schedule=schedule | {"timezone": "UTC"})
    draft = Draft("poll", "t", {"seconds": 1}, later, None, None, is_named=True)

    (new,) = documents([draft], [None], taken=(), defaults=DEFAULTS)
    (again,) = documents([draft], find_present([draft], [before]), taken=(), defaults=DEFAULTS)

    assert new["schedule"]["anchor_at"] == later["anchor_at"]
    assert again == before


def test_a_source_with_several_schedules_has_all_of_them():
    several = Draft(
        "report",
        "shell",
        {"command": "r"},
        {"cron": "0 1 * * *"},
        "UTC",
        None,
        is_named=True,
        others=[{"cron": "0 2 * * *", "timezone": "Asia/Tokyo"}],
    )
    (created,) = documents([several], [None], taken=set(), defaults=DEFAULTS)
    before = created | {"schedules": [*created["schedules"], {"cron": "5 5 * * *"}]}

    (changed,) = documents([several], [before], taken={"report"}, defaults=DEFAULTS)

    assert "schedule" not in created
    assert created["schedules"] == [
        {"cron": "0 1 * * *", "timezone": "UTC"},
        {"cron": "0 2 * * *", "timezone": "Asia/Tokyo"},
    ]
    assert changed == created | {"tags": []}
    assert same_task(several, [created]) == created
    assert same_task(several, [before]) is None
    assert find_present([several], [created | {"name": "elsewhere"}]) != [None]


def test_a_field_that_its_source_has_not_changed_stays_as_people_have_set_it():
    def entry(cron: str, queue: str) -> Draft:
        return Draft("a", "t", {}, {"cron": cron}, "UTC", None, fields={"queue": queue})

    def job_with(cron: str, queue: str) -> dict[str, Any]:
        schedule = {"cron": cron, "timezone": "UTC", "jitter_seconds": None}
        return {"name": "a", "task": "t", "kwargs": {}, "schedule": schedule, "queue": queue}

    def kept(wanted: Draft, present: dict[str, Any], *imports: Import) -> tuple[str, str]:
        (document,) = documents([wanted], [present], taken=(), defaults=DEFAULTS)
        made = keep_edits(document, wanted, present, imports, DEFAULTS)
        return made["schedule"]["cron"], made["queue"]

    first = Import(job_with("1 1 * * *", "q"), frozenset())
    # After an edit of its schedule, the second import took another queue.
    second = Import(job_with("5 5 * * *", "r"), frozenset({"queue"}))
    edited = job_with("5 5 * * *", "r")

    assert kept(entry("1 1 * * *", "q"), job_with("5 5 * * *", "q"), first) == ("5 5 * * *", "q")
    assert kept(entry("2 2 * * *", "q"), job_with("5 5 * * *", "q"), first) == ("2 2 * * *", "q")
    assert kept(entry("1 1 * * *", "r"), edited, second, first) == ("5 5 * * *", "r")
    # It goes back to what it was: a change.
    assert kept(entry("1 1 * * *", "q"), edited, second, first) == ("5 5 * * *", "q")
    assert kept(entry("1 1 * * *", "q"), job_with("5 5 * * *", "q")) == ("1 1 * * *", "q")

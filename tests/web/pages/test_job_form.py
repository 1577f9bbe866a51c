"""Making and changing jobs in the form, as a browser without script does."""

import re
from typing import Any

import pytest
from flask import Flask

from jobs_app.web.pages import job_form_context
from jobs_app.web.pages.form_fields import field_id
from tests.web.conftest import Api, a_job
from tests.web.pages.conftest import Page
from tests.web.pages.html_forms import forms_of


def form(page: Page, address: str) -> dict[str, str]:
    """Return the controls of the form of a job at *address*."""
    answer = page(address)
    assert answer.status_code == 200, answer.text
    return controls_of(answer, address.partition("?")[0])


def controls_of(answer: Any, address: str) -> dict[str, str]:
    """Return the controls of a form but for its token, which is another one each time."""
    controls = forms_of(answer.text)[address]
    del controls["csrf_token"]
    return controls


def sent(page: Page, address: str, controls: dict[str, str], action: str = "save") -> Any:
    """Send the form as the browser does."""
    return page.post(address, controls | {"action": action})


def stored(api: Api, name: str = "nightly") -> dict[str, Any]:
    """Return the definition of a job, without the facts that each job has for itself."""
    job: dict[str, Any] = api.get(f"/jobs/{name}").json
    own = ("id", "version", "created_at", "updated_at", "next_run_at", "warnings")
    return {name: value for name, value in job.items() if name not in own}


def test_a_new_job_is_made_and_shown(api: Api, page: Page) -> None:
    controls = form(page, "/new-job")
    controls |= {"/name": "nightly", "/kwargs/command": "true", "/schedule/cron": "30 2 * * *"}

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 303, answer.text
    assert answer.location == "/jobs/nightly?saved=new"
    assert "Saved. Nothing ran." in page("/jobs/nightly?saved=new").text
    assert stored(api)["schedule"]["cron"] == "30 2 * * *"


def test_the_form_sends_what_the_api_is_sent(api: Api, page: Page) -> None:
    document = a_job(
        name="by-api",
        kwargs={"command": "echo\necho", "cwd": "/tmp", "env": {"A": "1"}},
        tags=["a", "b"],
        run_arguments=["cwd"],
        retry={"max_attempts": 3, "delay_seconds": 90, "on": ["lost"]},
        time_limit_seconds=None,
        overlap_policy="allow_all",
        retention={"keep_days": 3},
        notify=[],
    )
    api.post("/jobs", document)
    controls = form(page, "/new-job?from=by-api") | {"/name": "by-form"}

    assert sent(page, "/new-job", controls).status_code == 303

    assert stored(api, "by-form") | {"name": "by-api"} == stored(api, "by-api")


def test_a_form_that_nobody_changed_changes_nothing(api: Api, page: Page) -> None:
    api.make_job(schedule={"interval_seconds": 900}, queue="slow")
    before = stored(api)

    answer = sent(page, "/jobs/nightly/edit", form(page, "/jobs/nightly/edit"))

    assert answer.location == "/jobs/nightly?saved=same"
    assert stored(api) == before
    assert [r["number"] for r in api.get("/jobs/nightly/revisions").json["items"]] == [1]


def test_each_error_is_under_its_field_and_nothing_typed_is_lost(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {
        "/name": "Nightly Job",
        "/priority": "high",
        "/schedule/cron": "61 2 * * *",
        "/kwargs/env": "{",
    }

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 422
    assert (
        forms_of(answer.text)["/new-job"].items()
        >= {
            name: controls[name] for name in ("/name", "/priority", "/schedule/cron", "/kwargs/env")
        }.items()
    )
    for field in ("priority", "kwargs_2f_env"):
        assert f'id="f_2f_{field}-error"' in answer.text
        assert f'<a href="#f_2f_{field}">' in answer.text


@pytest.mark.parametrize("more", [{}, {"/time_limit_seconds": "abc"}])
def test_a_missing_name_hides_no_other_error(api: Api, page: Page, more: dict[str, str]) -> None:
    # A name that stands in for the one that is missing must not be taken, either.
    for name in job_form_context.STAND_INS.values():
        api.make_job(name) if isinstance(name, str) else None
    wrong = {"/name": "", "/kwargs/command": "", "/schedule/cron": "99 * * * *", "/priority": "11"}
    controls = form(page, "/new-job") | wrong | more

    answer = sent(page, "/new-job", controls)

    listed = answer.text.partition('id="errors"')[2].partition("</ul>")[0]
    linked = set(re.findall(r'<a href="#(\w+)"', listed))
    fields = {"/name", "/kwargs/command", "/schedule/cron", "/priority", *more}
    assert linked == {field_id(field) for field in fields}


def test_an_argument_that_is_missing_is_named_at_its_field(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/name": "x", "/schedule": "manual"}

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 422
    error = answer.text.partition('id="f_2f_kwargs_2f_command-error">')[2]
    assert error.startswith("The task &#39;shell&#39; needs the argument &#39;command&#39;.")


def test_a_name_that_is_taken_is_an_error_of_the_name(api: Api, page: Page) -> None:
    api.make_job()
    controls = form(page, "/new-job?from=nightly") | {"/name": "nightly"}

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 409
    assert 'id="f_2f_name-error">There is a job' in answer.text


def test_schedules_are_added_and_removed_without_script(api: Api, page: Page) -> None:
    controls = form(page, "/new-job")
    controls |= {"/name": "nightly", "/kwargs/command": "true", "/schedule/cron": "0 9 * * 1-5"}

    more = controls_of(sent(page, "/new-job", controls, "add-schedule"), "/new-job")
    more = controls_of(sent(page, "/new-job", more, "add-schedule"), "/new-job")
    more |= {"/schedules/1/cron": "0 12 * * 6", "/schedules/2/cron": "@daily"}
    fewer = controls_of(sent(page, "/new-job", more, "remove-schedule-0"), "/new-job")

    assert sent(page, "/new-job", fewer).status_code == 303
    crons = [schedule["cron"] for schedule in stored(api)["schedules"]]
    assert crons == ["0 12 * * 6", "@daily"]
    again = form(page, "/jobs/nightly/edit")
    assert (again["/schedule/cron"], again["/schedules/1/cron"]) == ("0 12 * * 6", "@daily")
    assert sent(page, "/jobs/nightly/edit", again).location == "/jobs/nightly?saved=same"


def test_a_job_with_several_schedules_is_the_same_as_yaml(api: Api, page: Page) -> None:
    schedules = [{"cron": "0 9 * * 1-5"}, {"cron": "0 12 * * 6"}]
    api.make_job(schedule=schedules[0], schedules=schedules)
    before = stored(api)

    yaml = controls_of(page("/jobs/nightly/edit?as=yaml"), "/jobs/nightly/edit")
    clone = form(page, "/new-job?from=nightly") | {"/name": "clone"}

    assert sent(page, "/jobs/nightly/edit", yaml).location == "/jobs/nightly?saved=same"
    assert stored(api) == before
    assert sent(page, "/new-job", clone).status_code == 303
    assert stored(api, "clone")["schedules"] == before["schedules"]


def test_each_error_of_a_schedule_is_under_its_own_field(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/name": "nightly", "/kwargs/command": "true"}
    controls |= {"/schedule/cron": "61 2 * * *"}
    more = controls_of(sent(page, "/new-job", controls, "add-schedule"), "/new-job")
    more |= {"/schedules/1/cron": "62 2 * * *", "/schedules/1/timezone": "Europe/Pari"}

    answer = sent(page, "/new-job", more)

    assert answer.status_code == 422
    for field in ("/schedule/cron", "/schedules/1/cron", "/schedules/1/timezone"):
        assert f'id="{field_id(field)}-error"' in answer.text
    same = more | {"/schedule/cron": "@daily", "/schedules/1/cron": "@daily"}
    same |= {"/schedules/1/timezone": ""}
    assert "This is the same as schedule 1" in sent(page, "/new-job", same).text


def test_the_preview_shows_the_fires_of_all_schedules(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/name": "nightly", "/schedule/cron": "15 * * * *"}
    more = controls_of(sent(page, "/new-job", controls, "add-schedule"), "/new-job")
    more |= {"/schedules/1/cron": "45 * * * *"}

    shown = page.post("/job-preview", more).text

    assert "At minute 15 of every hour, UTC; and at minute 45 of every hour" in shown
    assert shown.count(":15") == shown.count(":45") == 5


def test_another_task_has_other_arguments_and_keeps_the_first_ones(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/kwargs/command": "make it", "/task": '"sleep"'}

    shown = forms_of(sent(page, "/new-job", controls, "arguments").text)["/new-job"]

    assert "/kwargs/duration" in shown
    back = sent(page, "/new-job", shown | {"/task": '"shell"'}, "arguments")
    assert forms_of(back.text)["/new-job"]["/kwargs/command"] == "make it"
    assert (
        sent(
            page,
            "/new-job",
            shown | {"/name": "x", "/kwargs/duration": "1", "/schedule": "manual"},
        ).status_code
        == 303
    )
    assert stored(api, "x")["kwargs"] == {"duration": 1}


def test_arguments_are_fields_or_json(api: Api, page: Page) -> None:
    api.make_job(kwargs={"command": "true", "env": {"A": "1"}}, run_arguments=["env"])
    address = "/jobs/nightly/edit"

    as_json = forms_of(sent(page, address, form(page, address), "json").text)[address]
    assert as_json["as:/kwargs"] == "json"
    back = controls_of(sent(page, address, as_json, "fields"), address)

    assert back == form(page, address)
    assert sent(page, address, as_json).location.endswith("saved=same")


@pytest.mark.parametrize("action", ["arguments", "json", "fields", "rules", "preview", "yaml"])
def test_a_form_that_holds_what_nobody_saved_says_so(page: Page, action: str) -> None:
    answer = sent(page, "/new-job", form(page, "/new-job"), action)

    assert " data-changed" in answer.text
    assert " data-changed" not in page("/new-job").text


def test_a_preview_without_script_shows_what_saving_does(api: Api, page: Page) -> None:
    api.make_job()
    controls = form(page, "/jobs/nightly/edit") | {"/schedule/cron": "0 3 * * *"}

    answer = sent(page, "/jobs/nightly/edit", controls, "preview")

    assert answer.status_code == 200
    assert "At 03:00 every day, Europe/Paris time." in answer.text
    assert "Saving runs nothing now." in answer.text
    assert "The next fire moves from" in answer.text
    assert stored(api)["schedule"]["cron"] == "30 2 * * *"


def test_a_schedule_that_the_clock_moves_is_marked(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {
        "/name": "x",
        "/kwargs/command": "true",
        "/schedule/cron": "30 2 * 3 *",
        "/schedule/timezone": "Europe/Paris",
        "/schedule/start_at": "2027-03-25T00:00",
        "zone:/schedule/start_at": "UTC",
    }

    answer = page.post("/job-preview", controls)

    assert "⇥ the clock skips its time" in answer.text
    assert "Sun 28 Mar 2027 03:00" in answer.text


def test_a_preview_shows_what_can_be_shown(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/schedule/cron": "0 3 * * *"}

    answer = page.post("/job-preview", controls)

    assert "At 03:00 every day" in answer.text
    assert "Not valid yet" in answer.text
    assert '<a href="#f_2f_name">' in answer.text


def secretive(day: str, api_token: str = "") -> None:
    """Take an argument with the name of a secret."""


def test_a_session_that_ended_loses_no_argument(api: Api, app: Flask, page: Page) -> None:
    parts = app.extensions["jobs_app"]
    parts.app.task(name="secretive", shared=False)(secretive)
    kwargs = {"day": "x", "api_token": "hunter2-hunter2"}
    api.make_job(task="secretive", kwargs=kwargs)
    controls = form(page, "/jobs/nightly/edit") | {"/kwargs/day": "y"}
    # What a sign-in in between keeps.
    del controls["/kwargs/api_token"]

    answer = sent(page, "/jobs/nightly/edit", controls)

    assert answer.status_code == 422
    assert 'api_5f_token-error">This was not kept while you signed in' in answer.text
    assert stored(api)["kwargs"] == kwargs


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_change_jobs_sees_no_form(page_of: Any, role: str) -> None:
    answer = page_of(role)("/new-job")

    assert answer.status_code == 403


def test_an_editor_without_the_grant_may_not_change_a_command(
    api: Api, page: Page, page_of: Any
) -> None:
    api.make_job()
    editor = page_of("editor")
    controls = {"/name": "x", "/task": '"shell"', "/kwargs/command": "true", "/schedule": "manual"}

    links = ("/jobs/nightly/edit", "/new-job?from=nightly", "/jobs/nightly/delete")
    assert [link in editor("/jobs/nightly").text for link in links] == [False] * 3
    assert [link in page("/jobs/nightly").text for link in links] == [True] * 3
    assert editor("/jobs/nightly/edit").status_code == 403
    answer = editor.post("/new-job", controls | {"action": "save"})

    assert answer.status_code == 403
    assert 'value="x"' in answer.text
    assert "may not change or start as it likes what runs commands" in answer.text


def test_secrets_are_listed_by_name_for_who_may_see_them(api: Api, page: Page) -> None:
    answer = api.put("/secrets/DB_PASSWORD", {"value": "hunter2-hunter2"})
    assert answer.status_code in (200, 201), answer.text

    text = page("/new-job").text

    assert "<code>${secret:DB_PASSWORD}</code>" in text
    assert '<option value="${secret:DB_PASSWORD}">' in text
    assert "hunter2" not in text


def test_the_command_is_never_asked_for(api: Api, page: Page) -> None:
    text = page("/new-job").text

    assert 'name="tick:/run_arguments/cwd"' in text
    assert 'name="tick:/run_arguments/command"' not in text


def test_what_a_user_stored_is_text(api: Api, page: Page) -> None:
    evil = '"><script>x</script>'
    api.make_job(
        description=evil, kwargs={"command": evil, "cwd": evil, "env": {"A": evil}}, tags=["a"]
    )

    for address in ("/jobs/nightly/edit", "/jobs/nightly/edit?as=yaml"):
        assert "<script>x" not in page(address).text


@pytest.mark.parametrize(
    "texts, field",
    [
        ({"/time_limit_seconds": "9" * 400}, "f_2f_time_5f_limit_5f_seconds"),
        ({"/retry/delay_seconds": "1e400"}, "f_2f_retry_2f_delay_5f_seconds"),
        ({"/kwargs/env": '{"A": "\\ud800"}'}, "f_2f_kwargs_2f_env"),
        ({"/kwargs/env": "[" * 50 + "]" * 50}, "f_2f_kwargs_2f_env"),
        ({"/description": "a\x00b"}, "f_2f_description"),
    ],
)
@pytest.mark.parametrize("action", ["save", "yaml", "json"])
def test_what_cannot_be_stored_is_refused_at_its_field(
    page: Page, texts: dict[str, str], field: str, action: str
) -> None:
    controls = form(page, "/new-job") | {"/name": "x", "/kwargs/command": "true"}
    controls |= {"/schedule": "manual"} | texts

    answer = sent(page, "/new-job", controls, action)

    if action == "save" or "kwargs" in field:
        assert answer.status_code == 422
        assert f'id="{field}-error"' in answer.text
    assert answer.status_code < 500


def test_a_form_may_be_as_large_as_the_arguments_of_a_job(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/name": "x", "/schedule": "manual"}

    answer = sent(page, "/new-job", controls | {"/kwargs/command": "# \u20ac" * 60_000})

    assert answer.status_code == 422
    assert "at most 262144 bytes" in answer.text


def test_who_is_limited_to_tags_keeps_one_of_them(page_of: Any) -> None:
    page = page_of("editor", tags=("billing",))
    controls = form(page, "/new-job?task=sleep") | {"/name": "x", "/schedule": "manual"}
    controls |= {"/kwargs/duration": "1"}

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 422
    assert 'id="f_2f_tags-error">You see the jobs with the tags billing' in answer.text
    assert sent(page, "/new-job", controls | {"/tags": "billing"}).status_code == 303


# ---- YAML ----


def test_a_job_is_the_same_as_yaml(api: Api, page: Page) -> None:
    api.make_job(tags=["a"], retry={"max_attempts": 2})
    controls = form(page, "/jobs/nightly/edit?as=yaml")

    assert "cron: 30 2 * * *" in controls["yaml"]
    assert sent(page, "/jobs/nightly/edit", controls).location.endswith("saved=same")
    changed = controls["yaml"].replace("30 2 * * *", "0 4 * * *")
    assert sent(page, "/jobs/nightly/edit", controls | {"yaml": changed}).status_code == 303
    assert stored(api)["schedule"]["cron"] == "0 4 * * *"


def test_switching_to_yaml_keeps_what_was_typed(api: Api, page: Page) -> None:
    controls = form(page, "/new-job") | {"/name": "x", "/priority": "7", "/tags": "one, two"}
    controls |= {"/kwargs/command": "a\r\nb"}

    as_yaml = forms_of(sent(page, "/new-job", controls, "yaml").text)["/new-job"]
    assert "name: x" in as_yaml["yaml"]
    typed = as_yaml | {"yaml": as_yaml["yaml"].replace("cron: ''", "cron: 0 3 * * *")}
    back = forms_of(sent(page, "/new-job", typed, "form").text)["/new-job"]

    assert (
        back.items()
        >= {
            "/name": "x",
            "/priority": "7",
            "/tags": "one, two",
            "/kwargs/command": "a\r\nb",
            "/schedule/cron": "0 3 * * *",
        }.items()
    )


@pytest.mark.parametrize(
    "text, sentence",
    [
        (
            "name: x\ntask: shell\nkwargs: {command: 'true'}\npriority: high\n",
            "Line 4: &#39;priority",
        ),
        ("name: x\ntask: shell\nretrys: 3\n", "Line 3: There is no field &#39;retrys&#39;."),
        ("name: x\n  task: [\n", "This is not YAML"),
        ("- name: x\n  task: shell\n  queue: a b\n  kwargs: {command: x}\n", "Line 3: The queue"),
        ("hello", "This must be one job"),
    ],
)
def test_an_error_of_yaml_names_its_line(page: Page, text: str, sentence: str) -> None:
    answer = sent(page, "/new-job", {"yaml": text})

    assert answer.status_code == 422
    assert sentence in answer.text
    assert forms_of(answer.text)["/new-job"]["yaml"] == text.replace("\n", "\r\n")


# ---- the lost race ----


def race(api: Api, page: Page, mine: dict[str, str], theirs: dict[str, Any]) -> Any:
    """Let somebody save *theirs* while *mine* is typed, and send it."""
    api.make_job(tags=["a"])
    controls = form(page, "/jobs/nightly/edit") | mine
    assert api.patch("/jobs/nightly", theirs).status_code == 200
    return sent(page, "/jobs/nightly/edit", controls)


def test_changes_of_different_fields_are_both_saved(api: Api, page: Page) -> None:
    answer = race(api, page, {"/priority": "7"}, {"tags": ["b"]})
    assert answer.status_code == 412
    assert "priority" in answer.text
    assert "tags" in answer.text
    assert "time_limit" not in answer.text.partition("<tbody")[2]

    controls = forms_of(answer.text)["/jobs/nightly/edit"] | {"then": "save"}
    assert sent(page, "/jobs/nightly/edit", controls).status_code == 303

    assert stored(api)["tags"] == ["b"]
    assert stored(api)["priority"] == 7


@pytest.mark.parametrize("choice, priority", [("theirs", 2), ("yours", 7)])
def test_a_field_that_both_changed_is_chosen(
    api: Api, page: Page, choice: str, priority: int
) -> None:
    answer = race(api, page, {"/priority": "7", "/queue": "slow"}, {"priority": 2})
    controls = forms_of(answer.text)["/jobs/nightly/edit"] | {"then": "save"}

    again = sent(page, "/jobs/nightly/edit", controls)
    assert again.status_code == 412
    assert "Choose for: priority." in again.text
    assert (
        sent(page, "/jobs/nightly/edit", controls | {"choose:priority": choice}).status_code == 303
    )

    assert stored(api)["priority"] == priority
    assert stored(api)["queue"] == "slow"


def test_the_merged_job_can_be_looked_at_first(api: Api, page: Page) -> None:
    answer = race(api, page, {"/priority": "7"}, {"tags": ["b"]})
    controls = forms_of(answer.text)["/jobs/nightly/edit"] | {"then": "form"}

    shown = forms_of(sent(page, "/jobs/nightly/edit", controls).text)["/jobs/nightly/edit"]

    assert (shown["/tags"], shown["/priority"], shown["version"]) == ("b", "7", "2")
    assert stored(api)["priority"] == 5


def test_a_third_change_meanwhile_is_shown_too(api: Api, page: Page) -> None:
    answer = race(api, page, {"/priority": "7"}, {"tags": ["b"]})
    controls = forms_of(answer.text)["/jobs/nightly/edit"] | {"then": "save"}
    api.patch("/jobs/nightly", {"queue": "slow"})

    again = sent(page, "/jobs/nightly/edit", controls)

    assert again.status_code == 412
    assert "queue" in again.text.partition("<tbody")[2]


def test_a_pause_meanwhile_is_no_race(api: Api, page: Page) -> None:
    api.make_job()
    controls = form(page, "/jobs/nightly/edit") | {"/priority": "7"}
    api.post("/jobs/nightly/pause", {})

    assert sent(page, "/jobs/nightly/edit", controls).status_code == 303

    assert (stored(api)["priority"], stored(api)["state"]) == (7, "paused")


def test_a_secret_that_somebody_changed_is_not_undone(api: Api, page: Page) -> None:
    secret = {"command": "true", "env": {"API_TOKEN": "old-old-old-old-old"}}
    api.make_job(kwargs=secret)
    controls = form(page, "/jobs/nightly/edit") | {"/priority": "7"}
    api.patch("/jobs/nightly", {"kwargs": {"env": {"API_TOKEN": "new-new-new-new-new"}}})

    answer = sent(page, "/jobs/nightly/edit", controls)

    assert answer.status_code == 412
    assert 'name="choose:kwargs.env"' in answer.text

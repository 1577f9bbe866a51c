"""The effect of a form before it is saved."""

from typing import Any

import pytest

from tests.web.conftest import Api
from tests.web.pages.conftest import Page
from tests.web.pages.test_job_form import form

CONTROLS = {"/name": "x", "/kwargs/command": "true", "/schedule/timezone": "Europe/Paris"}


def preview(page: Page, controls: dict[str, str]) -> str:
    """Return the preview of a form."""
    answer = page.post("/job-preview", controls)
    assert answer.status_code == 200
    text: str = answer.text
    return text


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/14 * * * *", "H 3 * * 1-5", "0 0 29 2 *"])
def test_the_fires_are_those_of_the_api(api: Api, page: Page, cron: str) -> None:
    schedule = {"cron": cron, "timezone": "Europe/Paris"}
    expected = api.post("/schedules/preview", {"schedule": schedule, "name": "x"}).json

    text = preview(page, form(page, "/new-job") | CONTROLS | {"/schedule/cron": cron})

    assert f"{expected['description']}." in text
    table = text.partition("<tbody>")[2].partition("later, when")[0]
    assert table.count("<tr>") + table.count('class="warn"') == len(expected["fires"])
    for fire in expected["fires"]:
        assert fire["local"][11:16] in text
    for warning in expected["warnings"]:
        assert warning.partition("'")[0] in text


def test_a_later_change_of_the_clock_is_listed(page: Page) -> None:
    text = preview(page, form(page, "/new-job") | CONTROLS | {"/schedule/cron": "30 2 * * *"})

    later = text.partition("later, when the clock changes")[2]
    assert "03:00 <span" in later
    assert "⇥ the clock skips its time" in later
    assert "⟲ the clock shows this time twice" in later


def test_who_is_notified_is_listed(api: Api, page: Page) -> None:
    channel = {"url": "json://localhost/x", "events": ["failed", "recovered"], "is_default": True}
    made = api.post("/channels", {"name": "ops"} | channel)
    assert made.status_code == 201, made.text
    controls = form(page, "/new-job") | CONTROLS | {"/schedule": "manual"}

    assert "ops: failed, recovered" in preview(page, controls)
    rule = {"/notify": "own", "/notify/0/channel": '"ops"', "tick:/notify/0/on/missed": "on"}
    assert "ops: missed<" in preview(page, controls | rule)
    assert "Nobody: no channel hears of it." in preview(page, controls | {"/notify": "nobody"})


def test_a_paused_job_says_that_it_stays_so(api: Api, page: Page) -> None:
    api.make_job()
    api.post("/jobs/nightly/pause", {})

    assert "The job is paused, and stays so." in preview(page, form(page, "/jobs/nightly/edit"))


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({}, "The next fire stays "),
        ({"/schedule": "manual"}, "It will run only when somebody starts it."),
        ({"/schedule/cron": "0 4 * * *"}, "The next fire moves from "),
    ],
)
def test_saving_an_edit_says_what_becomes_of_the_next_fire(
    api: Api, page: Page, changes: dict[str, str], sentence: str
) -> None:
    api.make_job()

    text = preview(page, form(page, "/jobs/nightly/edit") | changes)

    assert "Saving runs nothing now." in text
    assert sentence in text


def test_an_instant_is_shown_in_utc_too(api: Api, page: Page) -> None:
    at = {"/schedule": "at", "/schedule/at": "2027-07-01T09:00"}
    controls: dict[str, Any] = form(page, "/new-job") | CONTROLS | at

    text = preview(page, controls | {"zone:/schedule/at": "Europe/Paris"})

    assert "= Thu 01 Jul 2027 07:00:00 UTC" in text


def test_a_missing_name_hides_no_wrong_schedule(page: Page) -> None:
    controls = form(page, "/new-job") | CONTROLS | {"/schedule/cron": "99 * * * *"}

    text = preview(page, controls | {"/name": ""})

    assert "minute 99 is out of range 0-59" in text
    assert "&#39;name&#39; is required." in text
    assert preview(page, controls).count("out of range") == 1


def test_the_preview_of_yaml_has_the_faults_by_line(page: Page) -> None:
    text = preview(page, {"yaml": "name: x\ntask: sleep\nkwargs: {duration: 1}\nbogus: 1\n"})

    assert '<a href="#yaml">Line 4: There is no field &#39;bogus&#39;.</a>' in text
    assert "Line 2: There is no task" in preview(page, {"yaml": "name: x\ntask: bogus\n"})
    assert "&#39;task&#39; is required." in preview(page, {"yaml": "name: x\n"})

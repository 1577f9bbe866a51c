"""/channels and /notifications, and the rules of jobs."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import inspect, select

from jobs_app.core.settings import Settings
from jobs_app.core.states import Event, NotificationState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification, NotificationChannel
from jobs_app.notifications.rules import DEFAULT_EVENTS
from jobs_app.secrets.encryption import load_cipher
from jobs_app.web.api.notifications import ChannelIn
from tests.web.conftest import NOW, Api

CANARY = "canary-7f3a9"
MAIL = f"mailto://jobs:{CANARY}@mail.example.org?to=ops@example.org"
HOOK = {"url": f"https://desk.example.org/{CANARY}", "secret": f"{CANARY}-{CANARY}"}


def make_channel(api: Api, name: str = "ops", **facts: Any) -> dict[str, Any]:
    """Create a channel and return it as the API does."""
    if not facts.keys() & {"url", "webhook"}:
        facts["url"] = MAIL
    answer = api.post("/channels", {"name": name, **facts})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json
    return made


def fields_of(answer: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in answer.json["errors"]]


def heard(database: Database, name: str) -> set[Event]:
    """Return the events of a job that somebody wants, as its row has them."""
    with database.reading() as session:
        mask = session.scalars(select(Job.subscribed_events).where(Job.name == name)).one()
    return {event for event in Event if mask & event.bit}


def test_a_channel_shows_its_kind_and_never_its_address(api: Api) -> None:
    made = make_channel(api, is_default=True)

    assert made == api.get("/channels/ops").json | {"warnings": []}
    assert {name: made[name] for name in ("name", "kind", "is_default", "version")} == {
        "name": "ops",
        "kind": "mailto",
        "is_default": True,
        "version": 1,
    }
    assert made["events"] == [event.value for event in DEFAULT_EVENTS]
    assert ChannelIn.model_fields["events"].default == [event.value for event in DEFAULT_EVENTS]


def test_no_secret_of_an_address_is_readable_anywhere(
    api: Api, database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    make_channel(api, is_default=True)
    make_channel(api, "desk", webhook=HOOK)
    api.patch("/channels/ops", {"url": MAIL + "&cc=boss@example.org"})
    refused = api.post("/channels", {"name": "bad", "url": f"mailt://x:{CANARY}@example.org"})
    taken = api.post("/channels", {"name": "ops", "url": MAIL})

    pages = [api.get(path).text for path in ("/channels", "/channels/desk", "/audit")]
    assert not [text for text in (*pages, refused.text, taken.text) if CANARY in text]
    assert CANARY not in caplog.text
    rows = all_rows(database)
    assert "sealed" in rows
    assert CANARY not in rows
    assert CANARY not in "".join(
        path.read_text(errors="replace")
        for path in Path(settings.data_dir).rglob("*")
        if path.is_file()
    )
    with database.reading() as session:
        encrypted = session.scalars(select(NotificationChannel.encrypted)).all()
    assert all(CANARY in load_cipher(settings).decrypt(value) for value in encrypted)


def all_rows(database: Database) -> str:
    """Return all that the database holds, as text."""
    rows = []
    with database.engine.connect() as connection:
        for name in inspect(connection).get_table_names():
            table = connection.exec_driver_sql(f'SELECT * FROM "{name}"')
            rows += [f"{row._asdict()}" for row in table]
    return "\n".join(rows)


@pytest.mark.parametrize(
    "body, expected",
    [
        ({"url": MAIL, "webhook": HOOK}, [("", "one_address")]),
        ({}, [("", "one_address")]),
        ({"url": "example.org"}, [("/url", "invalid_url")]),
        ({"url": "slak://a/b/c"}, [("/url", "no_such_service")]),
        ({"url": "https://example.org/hook"}, [("/url", "no_such_service")]),
        ({"url": "mailto://"}, [("/url", "invalid_url")]),
        ({"url": "json://a b/"}, [("/url", "invalid_url")]),
        ({"url": "json://a:70000/"}, [("/url", "invalid_url")]),
        ({"url": "ntfy://a:0/topic"}, [("/url", "invalid_url")]),
        ({"url": "syslog://"}, [("/url", "local_service")]),
        ({"webhook": HOOK | {"url": "ftp://example.org"}}, [("/webhook/url", "invalid_url")]),
        ({"webhook": HOOK | {"url": "http://a..b/"}}, [("/webhook/url", "invalid_url")]),
        ({"webhook": HOOK | {"secret": "short"}}, [("/webhook/secret", "too_short")]),
        ({"url": MAIL, "events": ["fails"]}, [("/events/0", "not_a_choice")]),
        ({"url": MAIL, "events": []}, [("/events", "too_short")]),
        ({"url": MAIL, "name": "Ops!"}, [("/name", "invalid_name")]),
        ({"url": MAIL, "kind": "mailto"}, [("/kind", "read_only")]),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_channel_that_cannot_work_is_refused(
    api: Api, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    answer = api.post("/channels", {"name": "ops", **body})

    assert (answer.status_code, fields_of(answer)) == (422, expected)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_unknown_event_is_called_an_entry_of_its_list(api: Api) -> None:
    answer = api.post("/channels", {"name": "ops", "url": MAIL, "events": ["failed", "outputs"]})

    (error,) = answer.json["errors"]
    assert error["pointer"] == "/events/1"
    assert error["detail"].startswith("An entry of 'events' must be one of 'failed', 'recovered'")


@pytest.mark.parametrize(
    "address, host",
    [
        ({"url": "json://localhost/hook"}, "localhost"),
        ({"url": "jsons://10.1.2.3:8443/hook"}, "10.1.2.3"),
        (
            {"url": "mailto://jobs:word@127.0.0.1?to=ops@example.org&from=a@example.org"},
            "127.0.0.1",
        ),
        (
            {"url": "mailto://jobs:word@example.org?smtp=192.168.1.5&to=ops@example.org"},
            "192.168.1.5",
        ),
        ({"webhook": HOOK | {"url": "http://[::1]:9000/hook"}}, "::1"),
        ({"webhook": HOOK | {"url": "http://169.254.169.254/"}}, "169.254.169.254"),
    ],
)
def test_an_address_that_will_be_refused_has_a_warning(
    api: Api, address: dict[str, Any], host: str
) -> None:
    (new,) = make_channel(api, **address)["warnings"]
    make_channel(api, "other")
    (changed,) = api.patch("/channels/other", address).json["warnings"]

    assert new == changed
    assert new.startswith(f"No message can be sent: {host} is ")


@pytest.mark.parametrize(
    "address",
    [
        {"url": "json://desk.example.org/hook"},
        {"url": "jsons://93.184.215.14/hook"},
        {"url": MAIL},
        {"webhook": HOOK},
    ],
)
def test_an_address_that_only_a_name_server_can_judge_has_none(
    api: Api, address: dict[str, Any]
) -> None:
    assert make_channel(api, **address)["warnings"] == []
    assert api.patch("/channels/ops", {"is_default": True}).json.get("warnings", []) == []


def test_an_unknown_service_names_the_nearest_one(api: Api) -> None:
    answer = api.post("/channels", {"name": "ops", "url": "slak://a/b/c"})

    assert "Did you mean 'slack'?" in answer.json["detail"]


def test_a_name_is_taken_once(api: Api) -> None:
    make_channel(api)

    answer = api.post("/channels", {"name": "ops", "url": MAIL})

    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")


def test_a_change_wants_the_version_that_was_read(api: Api) -> None:
    make_channel(api)

    changed = api.patch("/channels/ops", {"events": ["late"]}, if_match='"1"')
    stale = api.patch("/channels/ops", {"events": ["lost"]}, if_match='"1"')
    blind = api.send("PATCH", "/channels/ops", json={"events": ["lost"]})

    assert (changed.status_code, changed.json["events"]) == (200, ["late"])
    assert changed.headers["ETag"] == '"2"'
    assert [stale.status_code, blind.status_code] == [412, 428]


def test_null_means_the_default_and_what_is_left_out_stays(api: Api) -> None:
    make_channel(api, events=["late"], is_default=True)

    answer = api.patch("/channels/ops", {"events": None})

    assert answer.json["events"] == [event.value for event in DEFAULT_EVENTS]
    assert answer.json["is_default"] is True
    assert api.patch("/channels/ops", {"is_default": None}).json["is_default"] is False


def test_channels_are_listed_by_name_page_by_page(api: Api) -> None:
    for name in ("c", "a", "b"):
        make_channel(api, name)

    first = api.get("/channels?limit=2").json
    second = api.get(f"/channels?limit=2&cursor={first['next_cursor']}").json

    assert [item["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


def test_an_unknown_channel_is_not_found_with_the_nearest_name(api: Api) -> None:
    make_channel(api, "operations")

    answer = api.get("/channels/operation")

    assert (answer.status_code, answer.json["code"]) == (404, "channel_not_found")
    assert "Did you mean 'operations'?" in answer.json["detail"]


def test_a_channel_that_a_job_names_stays(api: Api) -> None:
    make_channel(api)
    api.make_job(notify=[{"channel": "ops"}])

    refused = api.delete("/channels/ops")
    api.patch("/jobs/nightly", {"notify": None})

    assert (refused.status_code, refused.json["code"]) == (409, "channel_in_use")
    assert "nightly" in refused.json["detail"]
    assert api.delete("/channels/ops").status_code == 204
    assert api.get("/channels/ops").status_code == 404


def test_pending_notifications_of_a_deleted_channel_are_not_sent(
    api: Api, database: Database
) -> None:
    make_channel(api)
    api.post("/channels/ops/test")

    api.delete("/channels/ops")

    (left,) = api.get("/notifications").json["items"]
    assert (left["state"], left["error"]) == ("suppressed", "The channel was deleted.")


def test_the_audit_says_who_changed_a_channel_and_nothing_of_its_address(api: Api) -> None:
    make_channel(api)
    api.patch("/channels/ops", {"url": MAIL + "&cc=boss@example.org"})

    newest = api.get("/audit").json["items"][0]

    assert (newest["action"], newest["actor"]) == ("change_channel", "tester")
    assert newest["detail"]["after"]["address"] == "changed"


# ---- the rules of jobs ----


def test_the_rules_of_a_job_come_back_as_they_were_sent(api: Api) -> None:
    make_channel(api)
    rules = [{"channel": "ops", "on": ["failed", "late"], "after_failures": 3}]

    made = api.make_job(notify=rules)

    assert made["notify"] == [{**rules[0], "late_after_seconds": None}]
    assert api.get("/jobs/nightly").json["notify"] == made["notify"]


@pytest.mark.parametrize(
    "options, kept", [({}, None), ({"notify": None}, None), ({"notify": []}, [])]
)
def test_default_rules_and_no_rules_are_two_things(
    api: Api, options: dict[str, Any], kept: Any
) -> None:
    assert api.make_job(**options)["notify"] == kept


@pytest.mark.parametrize("path", ["/jobs", "/jobs?dry_run=true"])
def test_an_unknown_channel_is_refused_where_it_stands(api: Api, path: str) -> None:
    make_channel(api)
    job = {"name": "n", "task": "shell", "kwargs": {"command": "true"}}

    answer = api.post(path, job | {"notify": [{"channel": "ops"}, {"channel": "opps"}]})

    assert answer.status_code == 422
    assert fields_of(answer) == [("/notify/1/channel", "no_such_channel")]
    assert "Did you mean 'ops'?" in answer.json["detail"]


def test_a_patch_replaces_the_rules(api: Api) -> None:
    make_channel(api)
    make_channel(api, "chat")
    api.make_job(notify=[{"channel": "ops"}])

    answer = api.patch("/jobs/nightly", {"notify": [{"channel": "chat"}]})

    assert [rule["channel"] for rule in answer.json["notify"]] == ["chat"]
    assert api.patch("/jobs/nightly", {"notify": None}).json["notify"] is None


def test_a_job_knows_what_the_default_channels_hear(api: Api, database: Database) -> None:
    api.make_job("before")
    make_channel(api, is_default=True, events=["failed"])
    api.make_job("after")
    api.make_job("quiet", notify=[])

    assert heard(database, "before") == heard(database, "after") == {Event.FAILED}
    assert heard(database, "quiet") == set()

    api.patch("/channels/ops", {"events": ["succeeded", "late"]})
    assert heard(database, "before") == {Event.SUCCEEDED, Event.LATE}

    api.delete("/channels/ops")
    assert heard(database, "before") == set()


def test_a_job_follows_the_channel_that_it_names(api: Api, database: Database) -> None:
    make_channel(api, events=["failed"])
    api.make_job(notify=[{"channel": "ops"}])
    api.make_job("own", notify=[{"channel": "ops", "on": ["lost"]}])

    api.patch("/channels/ops", {"events": ["paused"]})

    assert heard(database, "nightly") == {Event.PAUSED}
    assert heard(database, "own") == {Event.LOST}


# ---- the notifications ----


def test_a_test_without_a_scheduler_is_answered_at_once(api: Api) -> None:
    make_channel(api)

    answer = api.post("/channels/ops/test")

    assert (answer.status_code, answer.json["state"]) == (202, "pending")
    assert answer.json["event"] == "test"


def test_a_test_waits_for_its_outcome(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel(api)
    monkeypatch.setattr("jobs_app.notifications.history.has_sender", lambda *_, **__: True)

    def send(_seconds: float) -> None:
        with database.session() as session:
            row = session.scalars(select(Notification)).one()
            row.state, row.error = NotificationState.FAILED, "It answered 500."
            session.commit()

    monkeypatch.setattr("jobs_app.web.api.notifications.time.sleep", send)
    answer = api.post("/channels/ops/test")

    assert (answer.status_code, answer.json["state"]) == (200, "failed")
    assert answer.json["error"] == "It answered 500."


def test_notifications_are_listed_by_their_content(api: Api, database: Database) -> None:
    job_id = api.make_job()["id"]
    facts = {"channel_id": 1, "channel": "ops", "group_key": "x", "created_at": NOW}
    rows = [
        Notification(event=Event.FAILED, job_id=job_id, **facts),
        Notification(event=Event.LOST, state=NotificationState.SENT, **facts),
        Notification(event=Event.LOST, **(facts | {"channel": "chat"})),
    ]
    with database.session() as session:
        for index, row in enumerate(rows):
            row.created_at = NOW + timedelta(seconds=index)
            session.add(row)
            session.flush()
        session.commit()

    def events(query: str) -> list[str]:
        return [item["event"] for item in api.get(f"/notifications{query}").json["items"]]

    assert events("") == ["lost", "lost", "failed"]
    assert events("?job=nightly") == ["failed"]
    assert events("?event=lost&state=sent") == ["lost"]
    assert events("?event=lost,failed&state=sent,failed") == events("?state=sent&state=failed")
    assert events("?event=failed,recovered") == ["failed"]
    assert events("?channel=chat") == ["lost"]
    first = api.get("/notifications?limit=2").json
    rest = api.get(f"/notifications?limit=2&cursor={first['next_cursor']}").json
    assert [item["event"] for item in rest["items"]] == ["failed"]


def test_a_run_shows_its_notifications_and_their_states(api: Api, database: Database) -> None:
    run = api.post("/runs", {"task": "sleep", "kwargs": {"duration": 1}}).json
    other = api.post("/runs", {"task": "sleep", "kwargs": {"duration": 1}}).json
    facts = {"channel_id": 1, "channel": "ops", "group_key": "x", "created_at": NOW}
    failed = {"state": NotificationState.FAILED, "error": "It answered 500."}
    with database.session() as session:
        for row in (
            Notification(event=Event.LATE, run_id=UUID(run["id"]), **facts),
            Notification(event=Event.FAILED, run_id=UUID(run["id"]), **facts | failed),
            Notification(event=Event.FAILED, run_id=UUID(other["id"]), **facts),
        ):
            session.add(row)
            session.flush()
        session.commit()

    notifications = api.get(f"/runs/{run['id']}").json["notifications"]

    rows = [
        (item["event"], item["channel"], item["state"], item["error"]) for item in notifications
    ]
    assert rows == [
        ("late", "ops", "pending", None),
        ("failed", "ops", "failed", "It answered 500."),
    ]
    assert notifications[0] == api.get(f"/notifications?run={run['id']}").json["items"][1]


def test_a_purge_removes_the_notifications_of_the_job(api: Api, database: Database) -> None:
    make_channel(api, is_default=True)
    api.make_job()
    api.post("/jobs/nightly/pause", {"reason": "broken"})
    assert [item["event"] for item in api.get("/notifications").json["items"]] == ["paused"]

    api.delete("/jobs/nightly?purge=true")

    assert api.get("/notifications").json["items"] == []

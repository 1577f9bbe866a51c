"""Channels for the output that another scheduler mails."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from jobs_app.cli.client import Client
from jobs_app.cli.failure import Failure
from jobs_app.cli.import_mail import mail_sentence, output_rules
from tests.cli.canned import Canned, CannedServer, page

OPS = {"name": "ops", "events": ["failed", "output"], "is_default": True}
CHAT = {"name": "chat", "events": ["lost"], "is_default": False}


@pytest.fixture
def client(server: CannedServer) -> Iterator[Client]:
    server.on("GET", "/channels", page(OPS, CHAT))
    with closing(Client()) as client:
        yield client


@pytest.mark.parametrize(
    "channel, is_like_cron, expected",
    [
        (None, False, []),
        (None, True, [{"channel": "ops", "on": ["failed", "output"]}]),
        ("chat", False, [{"channel": "chat", "on": ["lost", "output"]}]),
        ("chat", True, [{"channel": "chat", "on": ["lost", "output"]}]),
    ],
)
def test_a_channel_gets_output_besides_its_own_events(
    client: Client, channel: str | None, is_like_cron: bool, expected: list[object]
) -> None:
    assert output_rules(client, channel, is_like_cron=is_like_cron) == expected


def test_an_unknown_channel_is_refused_with_those_that_there_are(
    client: Client, server: CannedServer
) -> None:
    with pytest.raises(Failure, match="There are: ops, chat"):
        output_rules(client, "desk", is_like_cron=False)
    server.on("GET", "/channels", Canned({"items": [], "next_cursor": None}))
    with pytest.raises(Failure, match="There is none"):
        output_rules(client, "desk", is_like_cron=False)


def test_the_report_says_what_becomes_of_output() -> None:
    assert "--mail-channel" in mail_sentence([], is_like_cron=False)
    assert "no channel is a default one" in mail_sentence([], is_like_cron=True)
    assert "to the channel ops" in mail_sentence([{"channel": "ops"}], is_like_cron=True)

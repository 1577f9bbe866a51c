"""The URLs that tasks and webhooks may call, and the sentences that refuse the others."""

import httpx
import pytest

from jobs_app.notifications.channel_input import ChannelInput, Webhook
from jobs_app.tasks import registry
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_request import Request, checked_url
from tests.factories import TASKS

PORT = "must have a port from 1 to 65535."
HOST = "must begin with http:// or https:// and name a host."
UNREADABLE = "cannot be read."
INVALID_HOST = (
    "must have a valid host: an IP address, or a name of letters, digits, '.', '-' and '_'."
)
SPACES = "must not begin or end with a space."


@pytest.mark.parametrize(
    "url, sentence",
    [
        ("http://127.0.0.1:70000/", PORT),
        ("https://example.org:65536/hook", PORT),
        ("http://example.org:0/", PORT),
        ("http://example.org:-1/", PORT),
        (f"http://example.org:{10**20}/", PORT),
        ("http://[::1]:70000/", PORT),
        ("http://example.org:+80/", PORT),
        ("http://example.org: 80/", PORT),
        ("http://example.org:٣/", PORT),
        ("http://ü.example.org:+80/", PORT),
        ("http://a b/", INVALID_HOST),
        ("http://a%20b/", INVALID_HOST),
        ("http://a%00b/", INVALID_HOST),
        ("http://%65xample.org/", INVALID_HOST),
        ("http://a..b/", INVALID_HOST),
        ("http://.a/", INVALID_HOST),
        ("http://../", INVALID_HOST),
        ("http://a<b/", INVALID_HOST),
        ("http://a\\b/", INVALID_HOST),
        ("http://*.example.org/", INVALID_HOST),
        ("http://a,b/", INVALID_HOST),
        ("http://1.2.3.4.5/", INVALID_HOST),
        (f"http://{'a' * 64}/", INVALID_HOST),
        (f"http://{'a.' * 127}b/", INVALID_HOST),
        ("http://a b@c d/", INVALID_HOST),
        (" http://example.org/", SPACES),
        ("http://example.org/ ", SPACES),
        ("http://example.org/\n", SPACES),
        ("http://xn--/", UNREADABLE),
        ("http://exam\tple.org/", UNREADABLE),
        ("http://example.org:http/", UNREADABLE),
        ("http://256.1.1.1/", UNREADABLE),
        ("http://xn--zz/", UNREADABLE),
        ("http://[::1/", UNREADABLE),
        ("http://example.org/\x00", UNREADABLE),
        ("http://:80/", HOST),
        ("ftp://example.org/", HOST),
        ("example.org", HOST),
    ],
)
def test_a_url_that_cannot_be_called_is_refused_for_tasks_and_webhooks(url, sentence):
    (of_task,) = registry.check(TASKS, "http", {"url": url})
    (of_webhook,) = ChannelInput(webhook=Webhook(url, "s" * 16)).errors(is_new=True)

    assert (of_task.pointer, of_task.detail) == (
        "/kwargs/url",
        f"The argument 'url' of 'http' {sentence}",
    )
    assert (of_webhook.pointer, of_webhook.detail) == ("/webhook/url", f"The URL {sentence}")


@pytest.mark.parametrize(
    "url",
    [
        "http://a:1/",
        "https://a:65535/",
        "http://a:/",
        "HTTP://[::1]:80/",
        "http://[fe80::1%eth0]/",
        "http://u:p@a/",
        "http://jobs_web.local./",
        "http://xn--bcher-kva.example/",
        "http://127.1/",
        "http://a?q=1",
        "http://a/b//c:x@d",
    ],
)
def test_a_url_that_can_be_called_is_taken_for_tasks_and_webhooks(url):
    assert registry.check(TASKS, "http", {"url": url}) == []
    assert ChannelInput(webhook=Webhook(url, "s" * 16)).errors(is_new=True) == []


@pytest.mark.parametrize("url", ["http://a/ b", " http://a/", "http://a/ü", "http://ü.org/"])
def test_the_url_of_a_webhook_is_ascii_without_spaces(url):
    (error,) = ChannelInput(webhook=Webhook(url, "s" * 16)).errors(is_new=True)

    assert (error.pointer, error.code) == ("/webhook/url", "invalid_url")


@pytest.mark.parametrize(
    "location, sentence",
    [
        ("http://127.0.0.1:70000/", PORT),
        ("//example.org:0/", PORT),
        ("http://a b/", INVALID_HOST),
        ("//a..b/", INVALID_HOST),
        ("//example.org:+80/", PORT),
        ("http://[::1/", UNREADABLE),
        ("http://xn--zz/", UNREADABLE),
        ("mailto:a@example.org", HOST),
    ],
)
def test_a_redirect_to_a_url_that_cannot_be_called_fails_with_the_same_sentence(location, sentence):
    request = Request("GET", checked_url("http://example.org/a?b"), httpx.Headers(), None)

    with pytest.raises(HttpFailed, match=sentence) as failure:
        request.redirected(302, location)

    whence = "http://example.org/a redirects to another address: the URL "
    assert failure.value.detail.startswith(whence)

"""The server part of URLs: of settings here, of tasks and webhooks in test_http_request."""

import re

import pytest

from jobs_app.core.settings import Settings
from jobs_app.core.url_server import CONTROL_FAULT, HOST_FAULT, PORT_FAULT, server_fault

HOST, PORT, CONTROL = (fault.removesuffix(".") for fault in (HOST_FAULT, PORT_FAULT, CONTROL_FAULT))


@pytest.mark.parametrize(
    "setting, url, fault",
    [
        ("redis_url", "redis://a b/0", HOST),
        ("redis_url", "redis://a..b:6379/0", HOST),
        ("redis_url", "redis://ü..b/0", HOST),
        ("redis_url", "redis://a\tb/0", CONTROL),
        ("redis_url", "redis://a:0/0", PORT),
        ("redis_url", "redis://xn--/0", HOST),
        ("database_url", "postgresql://u:p@a b/jobs", HOST),
        ("database_url", "postgresql://u:p@a,b c/jobs", HOST),
        ("database_url", "postgresql://u:p@a,b:0/jobs", PORT),
        ("database_url", "postgresql://u:p@a\n/jobs", CONTROL),
        ("public_url", "https://a<b/", HOST),
        ("public_url", "https://[::1/", HOST),
        ("public_url", "https://a:70000/", PORT),
        ("public_url", "https://a/\x00", CONTROL),
        ("public_url", "https://:80/", "use http:// or https:// and a host"),
        ("public_url", "https://u:p@a/", "without a user"),
        ("public_url", "https://a/?x=1", "without a user"),
        ("public_url", "https://a/\n", "use http:// or https:// and a host"),
        ("smtp_url", "smtp://u:p@a b", HOST),
        ("smtp_url", "smtp://a..b", HOST),
        ("smtp_url", "smtp://a:0", PORT),
        ("smtp_url", "smtp://a\rb", CONTROL),
    ],
)
def test_a_setting_refuses_a_server_that_no_client_can_open(setting, url, fault):
    with pytest.raises(ValueError, match=re.escape(fault)):
        Settings(**{setting: url})


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://:s p@jobs_redis:6379/0",
        "unix:///run/my valkey.sock",
        "sqlite:////var/my jobs.db",
        "postgresql://u:p@a:5432,b/jobs?application_name=my jobs",
        "postgresql:///jobs?host=/run/postgresql",
        "https://ü.example.org/jobs",
        "smtp://[fe80::1%25eth0]:25",
        "smtp://10.0.0.7",
    ],
)
def test_a_server_that_a_client_may_open_is_accepted(url):
    assert server_fault(url, may_be_several=True) is None

"""Headers that are written by hand."""

import pytest

from jobs_app.tasks.http_headers import faults, name_fault, value_fault


@pytest.mark.parametrize("host", ["a", "a.example", "a.example:81", "127.0.0.1", "[::1]:80"])
def test_a_host_is_taken(host):
    assert list(faults({"Host": host})) == []


@pytest.mark.parametrize("host", ["", "a b", "http://a", "a/b", "u@a", "a:70000", "[::1", "a?"])
def test_a_value_that_is_no_host_is_refused(host):
    ((name, detail),) = faults({"hOst": host})

    assert (name, detail) == ("hOst", "The header 'Host' must be a host, with a port if need be.")


def test_a_header_of_the_connection_is_refused_in_any_case():
    assert "the HTTP client itself" in str(name_fault("CONTENT-length"))
    assert name_fault("Content-Type") is None


@pytest.mark.parametrize("value", ["a\nb", "\x00", "ü", "\x7f"])
def test_a_value_that_cannot_be_sent_is_refused(value):
    assert value_fault(value) is not None

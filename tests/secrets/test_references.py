"""References to secrets: their syntax, their allowed places, and putting them back."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs_app.secrets.redaction import copied_masks, literal_secrets, looks_secret, redacted
from jobs_app.secrets.references import errors, is_reference, names, put_back, resolve

VALUES = {"TOKEN": "t0k3n", "db-main": "p$w", "SHORT": "x"}


def as_it_is(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    "text, resolved",
    [
        ("${secret:TOKEN}", "t0k3n"),
        ("Bearer ${secret:TOKEN}!", "Bearer t0k3n!"),
        ("${secret:TOKEN}${secret:db-main}", "t0k3np$w"),
        ("$${secret:TOKEN}", "$t0k3n"),
        ("${secret:}TOKEN}", "${secret:TOKEN}"),
        ("${secret:}", "${secret:"),
        ("${TOKEN} $TOKEN {secret:TOKEN}", "${TOKEN} $TOKEN {secret:TOKEN}"),
    ],
)
def test_a_reference_is_resolved_and_other_text_stays(text: str, resolved: str) -> None:
    assert errors("http", {"x": text}) == []
    assert resolve("http", {"x": text}, VALUES) == {"x": resolved}


def test_references_are_found_and_resolved_wherever_they_stand() -> None:
    kwargs = {"a": [1, {"b": "${secret:TOKEN}"}], "c": {"d": "x${secret:db-main}"}, "e": None}

    assert names("http", kwargs) == {"TOKEN", "db-main"}
    assert resolve("http", kwargs, VALUES) == {
        "a": [1, {"b": "t0k3n"}],
        "c": {"d": "xp$w"},
        "e": None,
    }


def test_a_value_that_looks_like_a_reference_is_not_resolved_again() -> None:
    values = {"A": "${secret:B}", "B": "b"}

    assert resolve("http", {"x": "${secret:A}"}, values) == {"x": "${secret:B}"}


@pytest.mark.parametrize(
    "text",
    ["${secret:1X}", "${secret:MY TOKEN}", "${secret:TOKEN", "${secret: TOKEN}", "${secret:é}"],
)
def test_a_malformed_reference_is_refused_where_it_stands(text: str) -> None:
    (error,) = errors("http", {"headers": {"a/b": text}})

    assert (error.pointer, error.code) == ("/kwargs/headers/a~1b", "malformed_reference")


def test_a_reference_in_a_name_is_refused() -> None:
    (error,) = errors("http", {"headers": {"${secret:TOKEN}": "x"}})

    assert (error.pointer, error.code) == ("/kwargs/headers", "misplaced_reference")


def test_a_shell_job_may_refer_to_secrets_in_its_environment_only() -> None:
    kwargs = {"command": "curl -u ${secret:db-main}", "env": {"A": "${secret:TOKEN}"}}

    (error,) = errors("shell", kwargs)

    assert (error.pointer, error.code) == ("/kwargs/command", "misplaced_reference")
    assert '"DB_MAIN": "${secret:db-main}"' in error.detail
    assert '"$DB_MAIN"' in error.detail
    assert names("shell", kwargs) == {"TOKEN"}
    assert resolve("shell", kwargs, VALUES)["command"] == kwargs["command"]


def test_shell_variables_are_not_references() -> None:
    kwargs = {"command": "bash -c 'secret=abcdef; echo ${secret:0:3}'"}

    assert errors("shell", kwargs) == []
    assert resolve("shell", kwargs, {}) == kwargs


def test_arguments_that_did_not_change_are_put_back_as_they_were() -> None:
    before = {"a": "${secret:TOKEN}", "b": ["${secret:}", "x ${secret:db-main}"], "n": 1}

    resolved = resolve("mine", before, VALUES)

    assert put_back("mine", before, resolved, VALUES, clean=as_it_is) == before


@given(st.text("t0k3nx${secr:}pw", max_size=40))
def test_changed_text_refers_to_the_secrets_in_it_and_resolves_to_itself(text: str) -> None:
    back = put_back("mine", {}, {"x": [text]}, VALUES, clean=as_it_is)

    assert resolve("mine", back, VALUES) == {"x": [text]}
    assert "t0k3n" not in back["x"][0]


def test_text_that_no_reference_can_replace_is_cleaned() -> None:
    def clean(value: Any) -> Any:
        return "***" if value in ("dDBrM24=", 12345) else value

    before = {"a": "dDBrM24=", "b": "${secret:TOKEN}"}
    changed = {"a": "dDBrM24=", "b": "dDBrM24=", "c": {"dDBrM24=": 12345}}

    back = put_back("mine", before, changed, VALUES, clean=clean)

    # Text that the job already had stays as it was.
    assert back == {"a": "dDBrM24=", "b": "***", "c": {"***": "***"}}


@pytest.mark.parametrize(
    "name",
    [
        *("password", "PGPASSWORD", "api_key", "X-Api-Key", "apiKey", "APIKEY", "GITHUB_TOKEN"),
        *("clientSecret", "AWS_SECRET_ACCESS_KEY", "Set-Cookie", "private-key", "db.passwd"),
        "Authorization",
    ],
)
def test_names_that_say_so_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["command", "url", "max_tokens", "keyboard", "key", "primary_key", "author", "secretary"],
)
def test_names_that_do_not_say_so_do_not_look_secret(name: str) -> None:
    assert not looks_secret(name)


def test_literals_that_look_secret_are_masked_and_references_shown() -> None:
    kwargs = {
        "url": "https://example.org",
        "headers": {"Authorization": "Basic abc", "X-Token": "${secret:TOKEN}", "Accept": "*/*"},
        "password": 12345,
        "tokens": ["a", None, True, ""],
        "secret": {"deep": ["x", 1]},
    }

    assert redacted(kwargs) == {
        "url": "https://example.org",
        "headers": {"Authorization": "***", "X-Token": "${secret:TOKEN}", "Accept": "*/*"},
        "password": "***",
        "tokens": ["a", None, True, ""],
        "secret": {"deep": ["***", "***"]},
    }


def test_a_mask_in_place_of_a_secret_is_refused() -> None:
    kwargs = {"headers": {"Authorization": "***", "Accept": "***"}, "env": {"TOKENS": ["***"]}}

    errors_found = [(e.pointer, e.code) for e in copied_masks(kwargs | {"password": ["a", "***"]})]

    assert errors_found == [
        ("/kwargs/headers/Authorization", "masked_value"),
        ("/kwargs/password/1", "masked_value"),
    ]


def test_a_secret_in_an_address_is_masked_named_and_not_taken_back_as_a_mask() -> None:
    kwargs = {"url": "https://me:pw@example.org/?token=abc", "command": "echo ***"}

    shown = redacted(kwargs)

    assert shown == {"url": "https://me:***@example.org/?token=***", "command": "echo ***"}
    assert literal_secrets(kwargs) == ["kwargs.url"]
    assert [error.pointer for error in copied_masks(shown)] == ["/kwargs/url"]
    assert copied_masks(kwargs) == []


def test_each_literal_that_looks_secret_is_named_by_its_place() -> None:
    kwargs = {"headers": {"Authorization": "Basic abc"}, "token": "${secret:TOKEN}", "pwd": ["x"]}

    assert literal_secrets(kwargs) == ["kwargs.headers.Authorization", "kwargs.pwd.0"]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"password " + "x" * 120_000: [1, 2] * 30_000},
        {"x" * 120_000: [1, 2] * 30_000},
        {f"p{n}": {"token": {"q": n}} for n in range(9_000)},
    ],
    ids=["a long secret name", "a long name", "many names"],
)
def test_the_places_of_literals_are_bounded(kwargs: dict[str, Any]) -> None:
    began = time.process_time()

    places = literal_secrets(kwargs)

    assert time.process_time() - began < 1
    assert len(places) <= 20
    assert all(len(place) < 300 for place in places)


@pytest.mark.parametrize(
    "text, is_one",
    [
        ("${secret:shop}", True),
        ("${secret:}", False),
        ("${secret:shop", False),
        ("x${secret:shop}", False),
        ("${secret:shop}${secret:shop}", False),
        ("", False),
    ],
)
def test_a_reference_alone_differs_from_a_text_that_has_one(text, is_one):
    assert is_reference(text) is is_one

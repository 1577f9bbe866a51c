"""The arguments of a task as fields of a form: for each kind of argument, and for each value."""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from celery import Celery
from jinja2 import Environment, FileSystemLoader

from jobs_app.tasks import registry
from jobs_app.web import pages
from jobs_app.web.pages.argument_fields import argument_fields, argument_texts, arguments_from
from tests.web.pages.html_forms import forms_of

celery = Celery("tests.arguments", set_as_current=False)

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(pages.__file__).with_name("templates")), autoescape=True
)
FORM = TEMPLATES.from_string(
    '{% import "fields.html" as fields with context %}<form action="x">'
    "{% for one in all %}{{ fields.field(one) }}{% endfor %}</form>"
)


@celery.task(shared=False, name="twelve")
def twelve(
    country: str,
    message: str = "hello",
    rows: int = 5,
    share: float = 0.5,
    dry_run: bool = False,
    mode: Literal["fast", "slow", 3] = "fast",
    day: date | None = None,
    at: datetime | None = None,
    names: list[str] | None = None,
    window: dict[str, Any] | None = None,
    nothing: None = None,
    to: str | list[str] | None = None,
    verify: bool | str = True,
) -> None:
    """Take every kind of argument."""


SCHEMA = next(task.schema for task in registry.tasks(celery) if task.name == "twelve")


def sent(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that a browser sends back for *kwargs* if nothing is changed."""
    texts = argument_texts(SCHEMA, kwargs, zone="Europe/Paris")
    html = FORM.render(all=argument_fields(SCHEMA, texts))
    back, errors = arguments_from(SCHEMA, forms_of(html)["x"])
    assert errors == []
    return back


VALUES: dict[str, list[Any]] = {
    "country": ["de", "", " x ", "a\nb", "\n", 'a"<b>', "a\r\nb", 5, None, ["de"]],
    "message": ["one\ntwo", "\nx", "", "</textarea>", "a\rb", True],
    "rows": [0, -7, 2**62, 1.5, "5", None],
    "share": [0, 0.1, 1e300, 30.0, "0.5"],
    "dry_run": [True, False, "true", 1],
    "mode": ["fast", "slow", 3, "3", "other"],
    "day": ["2026-12-01", "2026-02-30", None, ""],
    "at": ["2026-12-01T09:00:00+01:00", "2026-12-01T09:00:00", "soon", None],
    "names": [["a", "b c"], [], None, ["a\nb"], [""], ["\x0b"], [1], "a"],
    "window": [{"start": {"a": [1, None]}}, {}, None, []],
    "nothing": [None, 5],
    "verify": [True, False, "true", "false", "/etc/ca.pem", "", "a\nb"],
    "to": ["me", ["me", "you"], None, "", [], "[]", "null", 5],
}


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, values in VALUES.items() for value in values]
)
def test_a_value_comes_back_as_it_was(name: str, value: Any) -> None:
    back = sent({name: value})

    assert back == {name: value}
    assert type(back[name]) is type(value)


def test_an_argument_that_is_left_out_stays_left_out() -> None:
    assert sent({}) == {}


def test_arguments_that_the_task_does_not_name_come_back() -> None:
    others = {"x": 1, "a/b~c": {"day": "2026-12-01"}}
    texts = argument_texts(SCHEMA, {"country": "de"} | others, zone="UTC")

    assert arguments_from(SCHEMA, texts) == ({"country": "de"} | others, [])


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("rows", "many", "many"),
        ("rows", " 12 ", 12),
        ("dry_run", "yes", "yes"),
        ("verify", "false", False),
        ("verify", "/false", "/false"),
        ("names", "one\r\n\r\n two ", ["one", "two"]),
        ("message", "one\r\ntwo", "one\ntwo"),
    ],
)
def test_a_typed_text_becomes_the_value_that_the_server_checks(
    name: str, text: str, value: Any
) -> None:
    assert arguments_from(SCHEMA, {f"/kwargs/{name}": text}) == ({name: value}, [])


@pytest.mark.parametrize(
    "blank, kwargs",
    [("unset", {}), ("empty", {"country": "", "names": []}), ("null", {"names": None})],
)
def test_a_blank_text_is_left_out_unless_the_form_says_else(
    blank: str, kwargs: dict[str, Any]
) -> None:
    names = kwargs or {"country": "", "names": ""}
    texts = {f"/kwargs/{name}": "" for name in names}
    texts |= {f"blank:/kwargs/{name}": blank for name in names}

    assert arguments_from(SCHEMA, texts)[0] == kwargs


def test_a_text_that_stands_for_no_value_is_an_error_at_its_field() -> None:
    texts = {
        "/kwargs/window": "{",
        "/kwargs/at": "2027-03-28T02:30",
        "zone:/kwargs/at": "Europe/Paris",
    }

    kwargs, errors = arguments_from(SCHEMA, texts)

    assert kwargs == {"at": "2027-03-28T02:30", "window": "{"}
    assert [error.pointer for error in errors] == ["/kwargs/at", "/kwargs/window"]


def test_only_the_named_arguments_are_shown_or_read() -> None:
    texts = argument_texts(SCHEMA, {"country": "de", "rows": 3}, zone="UTC", only=["rows", "new"])

    fields = argument_fields(SCHEMA, texts, only=["rows", "new"])

    assert [field.spec.label for field in fields] == ["rows", "new"]
    everything = {"/kwargs/country": "fr", "/kwargs/rows": "4", "/kwargs/new": "[1]"}
    assert arguments_from(SCHEMA, everything, only=["rows", "new"])[0] == {"rows": 4, "new": [1]}


def test_names_are_text_in_the_page() -> None:
    schema = {"properties": {'<script>"': {"type": "string", "description": "<b>"}}}
    texts = argument_texts(schema, {'<script>"': "</p>"}, zone="UTC")

    html = FORM.render(all=argument_fields(schema, texts))

    assert "<script>" not in html
    assert "<b>" not in html
    assert "</p></p>" not in html


def test_each_control_has_a_label_and_its_errors() -> None:
    errors = {"/kwargs/rows": ["The argument 'rows' must be a whole number, not a string."]}

    html = FORM.render(all=argument_fields(SCHEMA, {"/kwargs/rows": "x"}, errors=errors))

    assert html.count("<label for=") == len(SCHEMA["properties"]) - 1
    assert 'aria-describedby="f_2f_kwargs_2f_rows-error" aria-invalid="true"' in html
    assert "must be a whole number" in html

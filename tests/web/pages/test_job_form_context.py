"""What the form of a job shows: each error has a place in it."""

import re

from flask import Flask, g

from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import Role
from jobs_app.web.pages.form_fields import field_id
from jobs_app.web.pages.job_editor import Editor, new_document
from jobs_app.web.pages.job_form_context import names
from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_each_name_of_a_field_is_an_id_in_the_page(app: Flask, api: Api, page: Page) -> None:
    with app.test_request_context("/new-job"):
        g.principal = Principal("x", "x", "x", Role.ADMIN)
        expected = {field_id(name) for name in names(Editor.of_document(new_document(None)))}

    ids = re.findall(r'\bid="([^"]+)"', page("/new-job").text)

    # The names to ask for that are no fields are shown with arguments that are none.
    assert expected - {field_id("/run_arguments")} <= set(ids)
    assert len(ids) == len(set(ids))


def test_each_control_has_a_name_for_people(page: Page) -> None:
    text = page("/new-job").text
    labels = set(re.findall(r'<label[^>]* for="([^"]+)"', text))

    for tag, name in re.findall(r"<(input|select|textarea) id=\"([^\"]+)\"", text):
        assert name in labels | {"top-search", "keys-off"}, (tag, name)

"""Marks that reverse text are seen on pages, and come back from forms as they were."""

import json
import unicodedata

import pytest

from jobs_app.web.pages.bidi_controls import visible
from tests.web.conftest import Api, Page

REVERSE = "\u202e"
COMMAND = f"rm -rf old {REVERSE}dlo fr- pm"
SHOWN = COMMAND.replace(REVERSE, r"\u202e")


def test_each_mark_that_changes_the_direction_of_others_is_made_visible() -> None:
    kinds = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    marks = "".join(
        char for char in map(chr, range(0x3000)) if unicodedata.bidirectional(char) in kinds
    )
    shown = visible(f"<p>{marks}</p>")

    assert shown.isascii()
    assert json.loads(f'"{shown[3:-4]}"') == marks


@pytest.mark.parametrize(
    "html",
    [
        f'<input value="{COMMAND}">',
        f"<textarea name=note\n>{COMMAND}\n</textarea>",
        "<p>שלום \u200f(1)</p>",
        "",
    ],
    ids=["attribute", "textarea", "mark-of-one-letter", "nothing"],
)
def test_what_a_form_sends_back_stays(html: str) -> None:
    assert visible(html) == html


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_command_is_read_as_it_runs_on_every_page(api: Api, page: Page) -> None:
    api.make_job(description=COMMAND, kwargs={"command": COMMAND})
    api.patch("/jobs/nightly", {"kwargs": {"command": f"{COMMAND} again"}})
    page.post("/jobs/nightly/pause", {"reason": COMMAND})
    for address in ("/jobs/nightly", "/jobs/nightly/changes/2", "/audit"):
        answer = page(address)

        assert SHOWN in answer.text, address
        assert REVERSE not in answer.text, address

    assert COMMAND in page("/jobs/nightly/edit").text

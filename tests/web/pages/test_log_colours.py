"""The colours of logs: each can be read on the background of the log, in both themes."""

import re

import pytest

from jobs_app.web.pages.assets import FOLDER
from tests.web.pages.test_colours import LEAST_CONTRAST, colours, contrast, linear

INKS = tuple(f"ink{number}" for number in range(16))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_colour_of_a_log_can_be_read(theme: str) -> None:
    known = colours(theme)

    # As text on the log, and as the background of text in the colour of the page.
    for ground in ("row", "bg"):
        found = {ink: contrast(known[ink], known[ground]) for ink in INKS}
        assert {ink: value for ink, value in found.items() if value < LEAST_CONTRAST} == {}


@pytest.mark.parametrize("name", ["hit", "marked"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marked_lines_can_be_read(theme: str, name: str) -> None:
    css, known = (FOLDER / "app.css").read_text(), colours(theme)
    match = re.search(rf"\.log-line\.{name} {{ background: light-dark\(#(\w+), #(\w+)\)", css)
    assert match is not None
    ground = linear(match[1] if theme == "light" else match[2])

    found = {ink: contrast(known[ink], ground) for ink in ("text", "muted", "warn", *INKS)}

    assert {ink: value for ink, value in found.items() if value < LEAST_CONTRAST} == {}

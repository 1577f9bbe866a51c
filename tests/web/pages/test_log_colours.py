"""The colours of logs: each can be read on the background of the log, in both themes."""

import re
from pathlib import Path

import pytest

import jobs_app.web.pages

STYLES = (Path(jobs_app.web.pages.__file__).parent / "static" / "app.css").read_text()

#: The least contrast of text, as WCAG 2.2 AA has it.
LEAST = 4.5


def colours(name: str) -> tuple[str, str]:
    """Return the light and the dark value of a property of the stylesheet."""
    match = re.search(rf"--{name}: light-dark\(#(\w+), #(\w+)\);", STYLES)
    assert match is not None, name
    return match[1], match[2]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("number", range(16))
def test_a_colour_of_a_log_can_be_read(number: int) -> None:
    for theme, ink in enumerate(colours(f"ink{number}")):
        # As text on the log, and as the background of text in the colour of the page.
        assert contrast(ink, colours("row")[theme]) >= LEAST
        assert contrast(ink, colours("bg")[theme]) >= LEAST


@pytest.mark.parametrize("name", ["hit", "marked"])
def test_marked_lines_can_be_read(name: str) -> None:
    match = re.search(rf"\.log-line\.{name} {{ background: light-dark\(#(\w+), #(\w+)\)", STYLES)
    assert match is not None
    inks = ("text", "muted", "warn", *(f"ink{number}" for number in range(16)))
    for theme in (0, 1):
        found = {ink: contrast(match[theme + 1], colours(ink)[theme]) for ink in inks}
        assert {ink: value for ink, value in found.items() if value < LEAST} == {}

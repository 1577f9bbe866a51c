"""Texts of people as Markdown: CommonMark without HTML and pictures, with links to the web only."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from jobs_app.core.text import shortened

#: A link leads to the web or to a mail. All other schemes, and addresses without one, are text.
LINK = re.compile(r"(?:https?://|mailto:)\S", re.IGNORECASE)

#: A longer text is folded after the last block that ends within so many characters and lines.
SHOWN_CHARS, SHOWN_LINES = 600, 12

#: The level of the heading above a text; its own headings are below that.
LEVEL = 2


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name that markdown-it calls
        """Tell whether *url* may be a link; entities are decoded, spaces are encoded."""
        return LINK.match(url) is not None


# A picture would be asked for at other hosts; without its rule, it is a link. Lines stay lines,
# as CommonMark allows: people who know no Markdown write them.
_PARSER = _Parser("commonmark", {"html": False, "breaks": True}).disable(
    ["image", "html_block", "html_inline"]
)


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as HTML: what is shown at once, and the rest, empty for a short text, with a title."""

    shown: Markup
    rest: Markup
    title: str


@lru_cache(maxsize=256)
def folded(text: str) -> Folded:
    """Return *text* as HTML."""
    references: dict[str, object] = {}
    tokens = _PARSER.parse(text, references)
    _adapt(tokens)
    lines = text.splitlines(keepends=True)
    end = _fold(tokens, lines)

    def html(part: Sequence[Token]) -> Markup:
        rendered = _PARSER.renderer.render(part, _PARSER.options, references)
        return Markup(rendered)  # noqa: S704 - the renderer escapes all text

    first = next((line.strip() for line in lines if line.strip()), "")
    title = "More" if end else shortened(first, 100)
    return Folded(html(tokens[:end]), html(tokens[end:]), title)


def _adapt(tokens: Sequence[Token]) -> None:
    """Put headings below that of the page, without gaps, and keep links from telling on us."""
    level = LEVEL
    for token in tokens:
        if token.type == "heading_open":
            level = min(LEVEL + int(token.tag[1:]), level + 1, 6)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{level}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer")


def _fold(tokens: Sequence[Token], lines: Sequence[str]) -> int:
    """Return the number of tokens that are shown at once: those of whole blocks."""
    shown = 0
    for line, count in _blocks(tokens):
        if line > SHOWN_LINES or len("".join(lines[:line])) > SHOWN_CHARS:
            return shown
        # A heading goes with what is below it.
        if tokens[count - 1].type != "heading_close":
            shown = count
    return len(tokens)


def _blocks(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Yield for each outermost block the line behind it, and the number of tokens up to there."""
    line = 0
    for number, token in enumerate(tokens, start=1):
        if token.level == 0 and token.map is not None:
            line = token.map[1]
        if token.level == 0 and token.nesting <= 0:
            yield line, number

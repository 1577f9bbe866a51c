"""The Markdown pages of this repository: their blocks, links, anchors and words."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
#: Pages for people who use or run jobs-app.
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
#: Other pages with commands.
OTHERS = ("SECURITY.md", "examples/README.md")
#: Pages whose links are checked as well.
RECORDS = ("CHANGELOG.md", "bench/RESULTS.md")

_ANCHOR_IN_HTML = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its page, the line of its fence, its language ("" if none) and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def _tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())


def _inline(page: str) -> Iterator[tuple[int, Token]]:
    """Yield the line and the parts of each text that is not in a fenced block."""
    line = 0
    for token in _tokens(page):
        if token.map:
            line = token.map[0] + 1
        for child in token.children or ():
            yield line, child


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of *page*, in its order."""
    return [
        Block(page, token.map[0] + 1, token.info.strip(), token.content)
        for token in _tokens(page)
        if token.type == "fence" and token.map
    ]


def all_blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages that have one of *languages*; without any, all blocks."""
    return [
        block
        for page in (*PAGES, *OTHERS)
        for block in blocks(page)
        if not languages or block.language in languages
    ]


def code_spans(page: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each `code span` of *page*."""
    for line, token in _inline(page):
        if token.type == "code_inline":
            yield line, token.content


def rows(page: str) -> Iterator[list[list[str]]]:
    """Yield each row of the tables of *page*: the code spans of each cell."""
    row: list[list[str]] = []
    for token in _tokens(page):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            yield row
        elif token.type == "inline" and token.level > 3:
            children = token.children or ()
            row.append([child.content for child in children if child.type == "code_inline"])


def links(page: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the target of each link and picture of *page*."""
    for line, token in _inline(page):
        if token.type == "link_open":
            yield line, str(token.attrs["href"])
        elif token.type == "image":
            yield line, str(token.attrs["src"])


@cache
def anchors(page: str) -> frozenset[str]:
    """Return the anchors of *page*, as GitHub makes them of its headings."""
    counts: Counter[str] = Counter()
    found = set(_ANCHOR_IN_HTML.findall((ROOT / page).read_text()))
    tokens = _tokens(page)
    for token, text in pairwise(tokens):
        if token.type == "heading_open":
            content = "".join(
                child.content
                for child in text.children or ()
                if child.type in ("text", "code_inline")
            )
            slug = re.sub(r"[^\w\- ]", "", content.lower()).replace(" ", "-")
            found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
            counts[slug] += 1
    return frozenset(found)

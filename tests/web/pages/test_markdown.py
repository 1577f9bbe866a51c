"""Texts of people as Markdown."""

import re
import time
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from jobs_app.web.pages.markdown import SHOWN_LINES, Folded, folded

#: All that a text may become.
TAGS = {
    *("p", "br", "em", "strong", "a", "code", "pre", "blockquote", "ul", "ol", "li", "hr"),
    *("h3", "h4", "h5", "h6"),
}


class Elements(HTMLParser):
    """Collects elements and their attributes, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def html_of(text: str) -> str:
    """Return all of the HTML of *text*."""
    result = folded(text)
    return result.shown + result.rest


def links(text: str) -> list[str | None]:
    return [attributes["href"] for tag, attributes in Elements(html_of(text)).found if tag == "a"]


def test_markdown_is_shown_as_such() -> None:
    html = html_of("# Nightly\n\nCopies *all* of `db`:\n\n- one\n- two\n\n> slow\n\n    code\n")

    assert "<h3>Nightly</h3>" in html
    assert "<em>all</em> of <code>db</code>" in html
    assert "<li>two</li>" in html
    assert "<blockquote>" in html
    assert "<pre><code>code" in html


def test_lines_of_a_plain_text_stay_lines() -> None:
    assert html_of("first\nsecond") == "<p>first<br />\nsecond</p>\n"


@pytest.mark.parametrize(
    "text, levels",
    [
        ("# a\n\n## b\n\n# c", ["h3", "h4", "h3"]),
        ("### a\n\n###### b", ["h3", "h4"]),
        (
            "\n\n".join("#" * rank + " a" for rank in range(1, 7)),
            ["h3", "h4", "h5", "h6"] + ["h6"] * 2,
        ),
    ],
)
def test_headings_are_below_those_of_the_page_without_gaps(text: str, levels: list[str]) -> None:
    assert [tag for tag, _ in Elements(html_of(text)).found if tag[0] == "h"] == levels


@pytest.mark.parametrize(
    "text, address",
    [
        ("[a](https://example.org/x)", "https://example.org/x"),
        ("[a](HTTP://example.org)", "HTTP://example.org"),
        ("<https://example.org>", "https://example.org"),
        ("<ann@example.org>", "mailto:ann@example.org"),
        ("[a][b]\n\n[b]: https://example.org", "https://example.org"),
        ("![a](https://example.org/x.png)", "https://example.org/x.png"),
        ('[a](https://example.org/"onclick="x)', "https://example.org/%22onclick=%22x"),
    ],
)
def test_links_lead_to_the_web_and_to_mails(text: str, address: str) -> None:
    (found,) = [item for item in Elements(html_of(text)).found if item[0] == "a"]

    assert found[1]["href"] == address
    assert found[1]["rel"] == "noopener noreferrer"
    assert found[1].keys() <= {"href", "rel", "title"}


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "&#106;avascript:alert(1)",
        "&#x6A;avascript&colon;alert(1)",
        "java&Tab;script:alert(1)",
        "java&NewLine;script:alert(1)",
        "javascript&#58;alert(1)",
        "%6aavascript:alert(1)",
        "\x01javascript:alert(1)",
        "&nbsp;javascript:alert(1)",
        "<javascript:alert(1)>",
        "<java\tscript:alert(1)>",
        r"\javascript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml,x",
        "file:///etc/passwd",
        "blob:https://example.org/1",
        "view-source:https://example.org",
        "http:evil",
        "//example.org/",
        r"\\example.org",
        "/people/new",
        "?do=it",
        "#live",
    ],
)
def test_any_other_address_is_text(address: str) -> None:
    for text in (f"[a]({address})", f"![a]({address})", f"[a]\n\n[a]: {address}", f"<{address}>"):
        assert links(text) == [], text


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- --><svg/onload=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "<b>bold</b>\n\n<div>\n# a\n</div>",
    '```"><script>\nx\n```',
    '[a](https://example.org "\\"><script>alert(1)</script>")',
    "`<script>`",
    "[<img src=x onerror=alert(1)>](https://example.org \"x' onclick='y\")",
    "<?php x ?><![CDATA[x]]><!DOCTYPE x>",
    "<a href='javascript:alert(1)'>a</a>",
    "\x00<script>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_html_is_text(text: str) -> None:
    elements = Elements(html_of(text)).found

    assert {tag for tag, _ in elements} <= TAGS
    assert {name for _, attributes in elements for name in attributes} <= {
        *("href", "rel", "title", "class"),
    }


@pytest.mark.parametrize("part", ["[", "*", ">"])
def test_a_hostile_text_takes_time_as_it_is_long(part: str) -> None:
    began = time.process_time()

    html = html_of(part * 100_000)

    # Five times as long as any description may be: 3 s as measured, and hours by its square.
    assert time.process_time() - began < 20
    assert {tag for tag, _ in Elements(html).found} <= TAGS


@pytest.mark.few(4)
@pytest.mark.parametrize("part", ["![", "> a\n", "[a](", "**a", "- ", "_a*", "`", "<a", "&", "#\n"])
def test_a_hostile_description_takes_no_long_time(part: str) -> None:
    began = time.process_time()

    html = html_of((part * 20_000)[:20_000])

    assert time.process_time() - began < 5
    assert {tag for tag, _ in Elements(html).found} <= TAGS


def test_deep_nesting_is_bounded() -> None:
    deep = "".join(f"{'  ' * level}- a\n" for level in range(500)) + ">" * 5_000 + " a"

    assert html_of(deep).count("<ul>") + html_of(deep).count("<blockquote>") < 50


def test_a_long_text_is_folded_after_a_whole_block() -> None:
    paragraphs = [f"**{number}** " + "word " * 40 for number in range(10)]
    text = folded("\n\n".join(paragraphs))

    assert re.findall(r"<strong>(\d)", text.shown) == ["0", "1"]
    assert re.findall(r"<strong>(\d)", text.rest) == [*"23456789"]
    assert text.title == "More"
    assert text.shown.count("<p>") == text.shown.count("</p>") == 2


def test_a_long_first_block_is_folded_with_its_first_line_as_the_title() -> None:
    text = folded("\n".join(["The list:", *(f"- {number}" for number in range(SHOWN_LINES))]))
    whole = folded("- a\n" * (SHOWN_LINES + 1))

    assert (text.shown, text.title) == ("<p>The list:</p>\n", "More")
    assert (whole.shown, whole.title) == ("", "- a")
    assert whole.rest.count("<li>") == SHOWN_LINES + 1


def test_a_heading_is_not_cut_off_from_its_text() -> None:
    text = folded("One.\n\n## Two\n\n" + "- a\n" * SHOWN_LINES)

    assert (text.shown, text.rest[:4]) == ("<p>One.</p>\n", "<h3>")
    assert folded("# Only a heading").shown == "<h3>Only a heading</h3>\n"


def test_a_short_text_is_not_folded_and_an_empty_one_is_empty() -> None:
    assert folded("One.\n\nTwo.").rest == ""
    assert folded("") == folded("\n") == Folded(Markup(), Markup(), "")

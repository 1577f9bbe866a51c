"""Marks that reverse the text around them, made visible: a command must run as it is read."""

import re

# Embeddings, overrides and isolates. Those of single letters (LRM, RLM, ALM) hide nothing.
_CONTROL = re.compile("[\u202a-\u202e\u2066-\u2069]")

# Attributes stay, and the text of a form is sent back: each must be what was stored.
_KEPT_OR_CONTROL = re.compile(
    rf"<textarea\b[^>]*>[^<]*</textarea>|<[^>]*>|(?P<control>{_CONTROL.pattern})"
)


def visible(html: str) -> str:
    r"""Return *html*, in which templates escaped all text, with `\u202e` for such a mark.

    JSON reads that as the mark itself, so that a shown request can be copied.
    """
    if _CONTROL.search(html) is None:
        return html
    return _KEPT_OR_CONTROL.sub(_shown, html)


def _shown(found: re.Match[str]) -> str:
    control = found["control"]
    return found[0] if control is None else f"\\u{ord(control):04x}"

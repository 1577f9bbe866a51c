"""Output without escape sequences and control characters."""

import pytest

from jobs_app.core.escape_sequences import plain


@pytest.mark.parametrize(
    "dangerous, harmless",
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07after", "after"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1bcreset", "reset"),
        ("\x1b(0box", "box"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("abc\u202edef", "abcdef"),
        ("lone \udc80 surrogate", "lone  surrogate"),
        ("10%\r20%\r\ndone", "10%\n20%\ndone"),
        ("naïve — 日本", "naïve — 日本"),
        ("\x1b", ""),
        ("\x1b]unended\nnext line", "\nnext line"),
    ],
)
def test_nothing_that_drives_a_terminal_is_left(dangerous: str, harmless: str) -> None:
    assert plain(dangerous) == harmless

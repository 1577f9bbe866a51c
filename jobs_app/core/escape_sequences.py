"""Text of programs without escape sequences and control characters."""

import re

# Whole escape sequences first, so that "\x1b[31m" leaves no "[31m" behind: CSI, then
# OSC and its relatives up to their terminator, then two-character ones.
ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
# C0 but tab and newline, DEL, C1, the marks that reverse what is displayed, and lone
# surrogates, which no terminal encoding can carry.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Return *text* without escape sequences and control characters; lines stay lines."""
    text = ESCAPE_SEQUENCE.sub("", text)
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))

"""Reads the variables of a crontab, with the states of cron's own reader. Pure, no IO."""

_BLANKS = " \t\r\n\v\f"


def read_variable(text: str) -> tuple[str, str] | None:
    """Return the name and the value of a line NAME=VALUE; None if it is another line.

    As cron's env.c has it: blanks around the = do not count, quotation marks around the name or
    the value keep the blanks in them, and behind the second mark nothing may follow.
    """
    name, rest = _quoted_part(text, is_name=True)
    if name is None or rest is None:
        return None
    rest = rest.lstrip(_BLANKS)
    if not rest.startswith("="):
        return None
    rest = rest[1:].lstrip(_BLANKS)
    if rest[:1] not in ("'", '"'):
        return name, rest.rstrip(_BLANKS)
    value, after = _quoted_part(rest, is_name=False)
    if value is None or after is None or after.strip(_BLANKS):
        return None
    return name, value


def _quoted_part(text: str, *, is_name: bool) -> tuple[str | None, str | None]:
    """Return the name or the quoted value at the start of *text*, and what follows it."""
    mark = text[:1]
    if mark in ("'", '"') and mark:
        end = text.find(mark, 1)
        part = text[1:end]
        if end < 0 or (is_name and "=" in part):
            return None, None
        return part, text[end + 1 :]
    end = next((i for i, character in enumerate(text) if character in _BLANKS + "="), len(text))
    return text[:end], text[end:]

"""The % in the commands of a crontab. Pure, no IO."""

from collections.abc import Iterator


def split_percent(text: str) -> tuple[str, str | None]:
    r"""Return the command of a line and its standard input; None if it has none.

    As cron's do_command.c has it: the first % ends the command, each later one is a line end,
    and \% is a %. An input without a line end at its end gets one.
    """
    command, rest = _command_part(text)
    return command, None if rest is None else "".join(_input_parts(rest))


def _command_part(text: str) -> tuple[str, str | None]:
    parts: list[str] = []
    is_escaped = False
    for index, character in enumerate(text):
        if is_escaped:
            is_escaped = False
            if character == "%":
                parts.pop()
        elif character == "%":
            return "".join(parts), text[index + 1 :]
        elif character == "\\":
            is_escaped = True
        parts.append(character)
    return "".join(parts), None


def _input_parts(text: str) -> Iterator[str]:
    is_escaped, needs_end = False, False
    for character in text:
        if is_escaped:
            if character != "%":
                yield "\\"
        elif character == "%":
            character = "\n"
        is_escaped = character == "\\"
        if not is_escaped:
            yield character
            needs_end = character != "\n"
    if is_escaped:
        yield "\\"
    if needs_end:
        yield "\n"

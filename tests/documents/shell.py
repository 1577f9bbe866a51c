"""The commands in a shell block: enough of the shell's grammar for what documentation shows."""

import re
import shlex
from collections.abc import Iterator

from tests.documents.pages import Block

#: What takes the place of the output of a command in a word.
OUTPUT = "OUTPUT"

_WORD = r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;|&<>()'"\\])+"""
_TOKEN = re.compile(
    rf"(?P<space>[ \t]+|\\\n)|(?P<comment>\#[^\n]*)|(?P<end>[\n;|&()]+)"
    rf"|(?P<redirect>[<>]+(?:&\d|[ \t]*{_WORD}))|(?P<word>{_WORD})",
    re.DOTALL,
)
_SUBSTITUTION = re.compile(r"\$\(((?:[^()]|\([^()]*\))*)\)")


def typed(block: Block) -> str:
    """Return what a person types of a block: of `console` the lines behind the prompt."""
    if block.language != "console":
        return block.text
    lines = block.text.splitlines()
    return "\n".join(line[2:] for line in lines if line.startswith(("$ ", "> "))) + "\n"


def lines(text: str) -> Iterator[str]:
    """Yield each line of *text* that a shell would run by itself, with those that continue it."""
    start = position = 0
    while position < len(text):
        token = _next_token(text, position)
        position = token.end()
        if token["end"] and not token["end"].strip("\n"):
            yield text[start:position].rstrip("\n")
            start = position
    if text[start:].strip():
        yield text[start:]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in *text*, also of those within `$(…)`.

    Redirections are left out. Raises ValueError if *text* cannot be read.
    """
    for inner in _SUBSTITUTION.findall(text):
        yield from commands(inner)
    text = _SUBSTITUTION.sub(OUTPUT, text)
    words: list[str] = []
    position = 0
    while position < len(text):
        token = _next_token(text, position)
        if token["word"]:
            words += shlex.split(token["word"])
        elif token["end"]:
            if words:
                yield words
            words = []
        position = token.end()
    if words:
        yield words


def arguments_of_jobs_app(words: list[str]) -> list[str] | None:
    """Return what a command gives to jobs-app; None if it does not call it.

    `docker compose exec web jobs-app …` calls it, too.
    """
    for number, word in enumerate(words):
        if word == "jobs-app" or word.endswith("bin/jobs-app"):
            return words[number + 1 :]
    return ["up", *words[2:]] if words[:2] == ["./run", "up"] else None


def _next_token(text: str, position: int) -> re.Match[str]:
    token = _TOKEN.match(text, position)
    if token is None:
        raise ValueError(f"cannot be read: {text[position : position + 40]!r}")
    return token

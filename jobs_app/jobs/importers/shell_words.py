"""The words of a shell command, and those of the commands in it. Pure, no IO."""

import re
import shlex
from collections.abc import Iterator

#: Words of the shell behind which a condition begins, or ends.
CONDITION_BEGINS = frozenset({"if", "elif", "while", "until"})
CONDITION_ENDS = frozenset({"then", "do"})
#: Words of the shell with the word that ends what is no command behind them.
HEADERS = {"for": "do", "select": "do", "case": "in"}
SHELL_WORDS = frozenset(
    {*CONDITION_BEGINS, *CONDITION_ENDS, "else", "fi", "done", "esac", "!", "{", "}"}
)
#: A redirection, with its file if no blank is between them in a command that was cut at blanks.
_REDIRECTION = re.compile(r"([();]*)\d*(&?[<>][<>&|]*)(?!\()(.*)", re.DOTALL)


def command_words(command: str) -> list[str]:
    """Return the words of the commands in *command*, with operators and words of the shell.

    Redirections and the words after `for` and `case` are left out. The commands of $(…) and `…`
    come last, and a $ stands for each.
    """
    return _without_headers(_without_redirections(_without_substitutions(shell_words(command))))


def shell_words(command: str) -> list[str]:
    """Return the words of *command*, its operators among them, without quotation marks."""
    lexer = shlex.shlex(command[:4000], posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        # An open quotation mark: the words up to it are enough for a name.
        words = words or command[:4000].split()
    return words


def is_operator(word: str) -> bool:
    """Tell whether *word* separates commands."""
    return bool(word) and set(word) <= set("();|&")


def _without_redirections(words: list[str]) -> list[str]:
    """Return *words* without redirections: each is a number, an operator and a file."""
    rest: list[str] = []
    is_file = False
    for word in words:
        match = _REDIRECTION.fullmatch(word)
        if match is None:
            if not is_file or set(word) & set("();|&<"):
                # The command of >(…) is one of its own.
                rest.append("(" if word == ">(" else word)
            is_file = False
            continue
        if rest and rest[-1].isdigit():
            rest.pop()
        if match[1]:
            rest.append(match[1])
        is_file = not match[3]
    return rest


def _without_substitutions(words: list[str]) -> list[str]:
    """Return *words* with the commands of $(…) and `…` behind all others; $((…)) has none."""
    rest: list[str] = []
    inner: list[str] = []
    iterator = iter(words)
    for word in iterator:
        if word.count("`") % 2:
            inner += [";", word.lstrip("`")]
            rest.append("$")
            for other in iterator:
                inner.append(other.rstrip("`"))
                if "`" in other:
                    break
        elif word.startswith("(") and rest and rest[-1].endswith("$"):
            inside, after = _inside(word, iterator)
            inner += [] if word.startswith("((") else [";", *inside]
            rest += after
        else:
            rest.append(word)
    return rest + inner


def _inside(opening: str, words: Iterator[str]) -> tuple[list[str], list[str]]:
    """Return the words up to the parenthesis that closes *opening*, and what it has behind it."""
    inside: list[str] = []
    depth = opening.count("(")
    for word in words:
        for index, character in enumerate(word if set(word) <= set("();<>|&") else ""):
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return inside, [word[index + 1 :]] if word[index + 1 :] else []
        inside.append(word)
    return inside, []


def _without_headers(words: list[str]) -> list[str]:
    """Return *words* without those of for and case that are no commands."""
    rest: list[str] = []
    end = ""
    for word in words:
        is_first = not rest or rest[-1] in SHELL_WORDS or is_operator(rest[-1])
        if end:
            if word == end or word == "esac" or (end == ")" and word.startswith(")")):
                # The patterns of case follow its word.
                end = ")" if end == "in" else ""
        elif is_first and word in HEADERS:
            end = HEADERS[word]
        elif word.startswith(";;"):
            rest.append(";")
            end = ")"
        elif word == "()" and not is_first:
            # The name of a function.
            rest[-1] = ";"
        elif not (is_first and word == "function"):
            rest.append(word)
    return rest

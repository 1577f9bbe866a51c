"""The words of the commands in a shell command, without what belongs to the shell."""

import pytest

from jobs_app.jobs.importers.shell_words import command_words, is_operator, shell_words


@pytest.mark.parametrize(
    "command, words",
    [
        ("a 'b' && d", "a b && d"),
        ("a > /x 2>&1; b < y", "a ; b"),
        ("a $(b c) d", "a $ d ; b c"),
        ("a $(b $(c))&&d", "a $ && d ; b $ ( c"),
        ("a $((1 + (2)));b", "a $ ; b"),
        ("a `b c` d", "a $ d ; b c"),
        ("for i in 1 2; do a; done", "a ; done"),
        ("case x in 1|2) a;; *) b;; esac", "a ; b ;"),
        ("f() { a; }", "; { a ; }"),
        ("echo for case", "echo for case"),
    ],
)
def test_the_words_of_the_commands_remain(command: str, words: str) -> None:
    assert command_words(command) == words.split()


def test_an_open_quotation_mark_ends_the_words() -> None:
    assert shell_words("a 'b") == ["a"]


def test_an_empty_word_is_no_operator() -> None:
    assert is_operator("&&")
    assert not is_operator("")
    assert not is_operator("<(")

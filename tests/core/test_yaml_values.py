"""YAML as values: plain words by YAML 1.2, and a sentence for every text that is refused."""

import re
import resource
import subprocess
import sys

import pytest

from jobs_app.core.yaml_values import MOST_CHARACTERS, Unreadable, read_values


@pytest.mark.parametrize(
    "word, value",
    [
        ("on", "on"),
        ("yes", "yes"),
        ("012", "012"),
        ("1:30", "1:30"),
        ("2026-12-01T09:00:00Z", "2026-12-01T09:00:00Z"),
        ("true", True),
        ("12", 12),
        ("1.5", 1.5),
        ("null", None),
        ("", None),
    ],
)
def test_plain_words_are_what_yaml_1_2_says(word: str, value: object) -> None:
    assert read_values(f"a: {{value: {word}}}") == {"a": {"value": value}}


def test_on_is_a_name_of_a_field() -> None:
    assert read_values("a: {retry: {on: [failed]}}") == {"a": {"retry": {"on": ["failed"]}}}


@pytest.mark.parametrize(
    "text, value",
    [
        ("x: !!str 12", "12"),
        ("x: !!float 12", 12.0),
        ("x: !!int '12'", 12),
        ("x: ! 12", "12"),
        ("x: !!map {a: 1}", {"a": 1}),
        ("x: !!seq [1]", [1]),
    ],
)
def test_a_tag_of_the_core_schema_decides_the_kind(text: str, value: object) -> None:
    # 12 and 12.0 are equal, but are not written alike.
    assert repr(read_values(text)) == repr({"x": value})


def test_own_fields_win_over_merged_ones_and_the_first_of_those() -> None:
    text = "a: &a {x: 1, y: 1, z: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*b, *a], z: 3}"

    assert read_values(text)["c"] == {"x": 1, "y": 2, "z": 3}  # type: ignore[index]  # a dict


def test_a_quoted_merge_key_is_a_name() -> None:
    assert read_values("'<<': 1") == {"<<": 1}


def bomb(levels: int) -> str:
    """Return a small text whose anchors stand for 10 ** levels values."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        refs = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{refs}]")
    return "\n".join(lines)


def merging_bomb() -> str:
    """Return a small text that merges a mapping of many names very often."""
    lines = ["a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}"]
    lines += [f"b{n}: {{<<: *a}}" for n in range(500)]
    return "\n".join(lines)


def ladder() -> str:
    """Return a text whose anchors make its last value 60 levels deep."""
    return "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60))


@pytest.mark.parametrize(
    "text, why",
    [
        ("a: {task: t}\na: {task: t}", "given twice (line 2)"),
        ("a: {1: x}", "must be text (line 1)"),
        ("a: {[x]: x}", "must be text (line 1)"),
        ("a: [", "not YAML"),
        ("--- a\n--- b", "second document begins (line 2)"),
        ("a: \ud800", "half of a surrogate pair"),
        ("a: !!python/object/apply:os.system [id]", "The tag"),
        ("a: {task: t, x: !!binary aGk=}", "The tag"),
        ("a: !!timestamp 1", "The tag"),
        ("a: !!null [1]", "The tag"),
        ("a: !!bool x", "'x' is no bool"),
        ("a: !!int ''", "'' is no int"),
        ("a: !" + "x" * 999, "xx…' (line 1)"),
        ("a: &a {task: t, x: *a}", "contains itself"),
        ("a: &a {<<: *a}", "contains itself"),
        ("a: *b", "no anchor 'b' (line 1)"),
        ("a: {<<: 1}", "takes a mapping"),
        ("a: {task: t, x: " + "9" * 5000 + "}", "thousands of digits"),
        ("a: {task: t, x: 1.0e999}", "too large"),
        (ladder(), "nested too deeply"),
        (bomb(12), "holds too much"),
        (merging_bomb(), "holds too much"),
        ("a: " + " " * MOST_CHARACTERS, "larger than"),
        ("\n".join(f"%TAG !a{n}! b" for n in range(99)) + "\n--- a", "begin with %"),
    ],
    ids=lambda text: text[:20],
)
def test_a_text_outside_the_rules_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(why)):
        read_values(text)


#: Texts of 100,000 openings and more, as Python. Each ended the process, or took seconds.
NESTED = [
    *("'[' * 10**5", "'{' * 10**5", "'{a: ' * 10**5", "'[{a: ' * 10**5", "'- ' * 10**5"),
    *("'? ' * 10**5", "'[? ' * 10**5", "'&a [*a, ' * 10**5", "'a: ' + '[' * 9_999_990"),
    *("'- a\\n' * 2_400_000", "'[' + 'a,' * 4_900_000", "'!!int ' + '1:' * 2_000_000"),
    "'%TAG !a! b\\n' * 10**5",
]

READ = """
import resource, sys
from jobs_app.core.yaml_values import Unreadable, read_values
for text in sys.argv[1:]:
    try:
        read_values(eval(text))
    except Unreadable as error:
        assert len(str(error)) < 200, str(error)
    else:
        sys.exit("not refused: " + text)
"""


def test_no_text_ends_the_process_or_takes_much_of_it() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    done = subprocess.run(
        [sys.executable, "-c", READ, *NESTED],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)),
    )

    assert (done.returncode, done.stderr) == (0, "")
    # All of them together: the time of the processor does not grow with the load.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5

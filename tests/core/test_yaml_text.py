"""The lines of values in a YAML text."""

from jobs_app.core.yaml_text import lines_of, write
from jobs_app.core.yaml_values import read_values

TEXT = """\
# A job.
name: nightly
kwargs:
  rows:
    5
  a/b: [1,
    {deep: true}]
tags:
- one
- two
"""


def test_each_value_has_the_line_of_its_name() -> None:
    read_values(TEXT)

    lines = lines_of(TEXT)

    assert lines["/name"] == 2
    assert lines["/kwargs"] == 3
    assert lines["/kwargs/rows"] == 4
    assert lines["/kwargs/a~1b"] == 6
    assert lines["/kwargs/a~1b/1/deep"] == 7
    assert lines["/tags/1"] == 10


def test_a_written_document_has_lines_for_all_its_values() -> None:
    document = {"name": "x", "kwargs": {"command": "one\ntwo\n", "n": None}, "tags": []}

    text = write(document)

    assert read_values(text) == document
    assert lines_of(text).keys() >= {"/name", "/kwargs/command", "/kwargs/n", "/tags"}


def test_an_alias_does_not_hide_the_values_behind_it() -> None:
    text = "a: &x {b: 1}\nc: *x\nd: 2\n"

    assert lines_of(text) | {"": 1} == {"": 1, "/a": 1, "/a/b": 1, "/c": 2, "/d": 3}

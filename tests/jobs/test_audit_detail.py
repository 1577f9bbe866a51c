"""The audit has the arguments of a job, without secrets and within bounds."""

import json
from dataclasses import replace

from jobs_app.jobs.audit_detail import audited_arguments, changed_detail, changed_names
from jobs_app.jobs.document import Definition


def test_secrets_are_masked_while_references_stay() -> None:
    kwargs = {"password": "hunter2", "token": "${secret:api}", "env": {"API_KEY": "x9"}, "n": 1}

    expected = {"password": "***", "token": "${secret:api}", "env": {"API_KEY": "***"}, "n": 1}
    assert audited_arguments(kwargs) == expected


def test_a_long_value_is_cut_with_a_mark_after_it_is_masked() -> None:
    kwargs = {"text": "a" * 501, "nested": {"token": "hunter2", "lines": ["b" * 20] * 40}}

    found = audited_arguments(kwargs)

    assert found["text"] == "a" * 500 + "… (501 characters)"
    assert found["nested"].startswith('{"token": "***", "lines": ["bbb')
    assert "hunter2" not in json.dumps(found)
    assert audited_arguments({"text": "a" * 500}) == {"text": "a" * 500}


def test_many_arguments_are_bounded_with_the_changed_ones_first() -> None:
    kwargs = {f"{number:04}" + "n" * 90: "é" * 600 for number in range(1000)}
    last = list(kwargs)[-1]

    found = audited_arguments(kwargs, first=[last, "removed"])

    assert last[:80] in found
    assert len(json.dumps(found)) < 8_100
    assert found["…"] == f"{1000 - len(found) + 1} more"


def test_every_kind_of_difference_counts_as_a_change() -> None:
    before = {"same": {"a": 1, "b": 2}, "secret": "one", "gone": None, "flag": 1, "long": "a" * 900}
    after = {"same": {"b": 2, "a": 1}, "secret": "two", "new": 0, "flag": True}
    after["long"] = "a" * 899 + "b"

    assert changed_names(before, after) == ["flag", "gone", "long", "new", "secret"]


def test_the_detail_of_a_change_is_bounded() -> None:
    arguments = {f"{number:03}" + "n" * 200: "é" * 900 for number in range(100)}
    before = Definition(name="a", task="t", description="é" * 2000, kwargs=arguments)
    after = replace(before, kwargs=dict.fromkeys(arguments, 1))

    detail = changed_detail(before, after)

    names = detail["changed_arguments"]
    assert (len(names), len(names[0])) == (20, 80)
    assert len(json.dumps(detail, ensure_ascii=False)) < 20_000

"""Fields of a form: their texts, their values, and their ids."""

from typing import Any

import pytest

from jobs_app.web.pages.form_fields import (
    Choice,
    ControlSpec,
    field_id,
    texts_of,
    tick_texts,
    ticked,
    value_of,
)
from jobs_app.web.pages.form_values import UNSET, Blank, Kind

TAGS = ControlSpec("/tags", "Tags", (Kind.WORDS,), blanks=(Blank.UNSET, Blank.EMPTY))
LIMIT = ControlSpec("/limit", "Limit", (Kind.DURATION,), blanks=(Blank.UNSET, Blank.NULL))
STATE = ControlSpec("/state", "State", (Kind.ENUM,), choices=(Choice('"on"', "on"),))


@pytest.mark.parametrize(
    "spec, value",
    [
        *[(TAGS, v) for v in (["a", "b"], [], ["with space"], ["a,b"], UNSET)],
        *[(LIMIT, v) for v in (90, 7200, 0, 0.25, None, UNSET, -1)],
        *[(STATE, v) for v in ("on", "off", UNSET)],
    ],
)
def test_a_value_comes_back_from_its_texts(spec: ControlSpec, value: Any) -> None:
    assert value_of(spec, texts_of(spec, value, zone="UTC")) == value


@pytest.mark.parametrize("text", ["infra, nightly", "infra nightly", " infra,,nightly "])
def test_words_are_divided_by_commas_or_spaces(text: str) -> None:
    assert value_of(TAGS, {"/tags": text}) == ["infra", "nightly"]


def test_a_text_that_is_no_number_of_a_unit_is_left_to_the_server() -> None:
    assert value_of(LIMIT, {"/limit": "an hour", "unit:/limit": "h"}) == "an hour"


def test_a_kind_that_the_field_cannot_have_is_ignored() -> None:
    assert value_of(LIMIT, {"/limit": "5", "as:/limit": "password"}) == 5


def test_ids_of_different_fields_differ() -> None:
    names = ["/a/b", "/a_b", "/a-b", "/a b", "/a~1b"]

    assert len({field_id(name) for name in names}) == len(names)
    assert all(field_id(name).replace("_", "").isalnum() for name in names)


def test_ticks_name_arguments() -> None:
    assert ticked(tick_texts("/run_arguments", ["b"]), "/run_arguments", ["a", "b"]) == ["b"]

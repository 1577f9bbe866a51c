"""Who is notified of a job, as the texts of a form."""

from typing import Any

import pytest

from jobs_app.web.pages.notify_fields import compact, rule_count, rules_from, texts_of

RULES = [
    {"channel": "ops", "on": ["lost", "failed"], "after_failures": 2, "late_after_seconds": 90},
    {"channel": "mail"},
]


@pytest.mark.parametrize("rules", [None, [], RULES])
def test_rules_come_back_from_their_texts(rules: Any) -> None:
    document, errors = rules_from(texts_of(rules, zone="UTC"))

    assert errors == []
    assert document == ({} if rules is None else {"notify": rules})


def test_rules_without_a_channel_are_dropped() -> None:
    texts = {"/notify": "own", "/notify/0/channel": "", "/notify/0/after_failures": "9"}
    texts |= {"/notify/2/channel": '"ops"', "tick:/notify/2/on/failed": "on"}
    texts |= {"tick:/run_arguments//notify/0/x": "on"}

    compacted = compact(texts)

    assert rule_count(compacted) == 1
    assert rules_from(compacted)[0] == {"notify": [{"channel": "ops", "on": ["failed"]}]}
    assert "tick:/run_arguments//notify/0/x" in compacted

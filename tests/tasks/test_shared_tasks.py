"""Tasks that Celery makes in each application: which one imported them, and which are broken."""

import sys
from typing import Any

import pytest
from celery import Celery, _state

from jobs_app.tasks import shared_tasks


def test_a_module_belongs_to_the_first_one_that_imported_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_tasks, "_importers", {})
    before = set(sys.modules)
    monkeypatch.setitem(sys.modules, "orders", sys)
    shared_tasks.note_imports("first", before)
    shared_tasks.note_imports("second", before)

    assert shared_tasks.is_imported_by("first", "orders")
    assert not shared_tasks.is_imported_by("second", "orders")
    assert not shared_tasks.is_imported_by("first", "sys")


def test_only_tasks_that_cannot_be_made_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Celery] = []

    def fails(_app: Celery) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(_state, "_on_app_finalizers", {made.append, fails})

    shared_tasks.forget_broken()

    assert len(made) == 1
    state: Any = _state
    assert state._on_app_finalizers == {made.append}

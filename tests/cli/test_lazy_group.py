"""A group imports a command only when it is asked for, and suggests the others by their names."""

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jobs_app.cli.lazy_group import LazyGroup

MODULE = """
import click

@click.command()
def greet():
    click.echo("hello")
"""


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    (tmp_path / "lazy_greeting.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lazy_greeting", raising=False)
    modules = {"greet": "lazy_greeting:greet", "leave": "no_such_module:leave"}
    return LazyGroup("people", modules=modules)


def test_only_the_command_that_was_typed_is_imported(group: LazyGroup) -> None:
    assert group.list_commands(click.Context(group)) == ["greet", "leave"]
    assert "lazy_greeting" not in sys.modules

    done = CliRunner().invoke(group, ["greet"])

    assert done.output == "hello\n"


def test_a_misspelt_command_gets_a_suggestion(group: LazyGroup) -> None:
    done = CliRunner().invoke(group, ["gret"])

    assert done.exit_code == 2
    assert "No such command 'gret'. Did you mean 'greet'?" in done.output

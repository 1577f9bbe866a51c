"""Tables that fit into a terminal, and a terminal that is left as it was."""

import pytest

from jobs_app.cli import live_screen
from jobs_app.cli.live_screen import screen, table

ITEMS = [
    {"job": "nightly-report", "id": "0193583e-0000"},
    {"job": "a\x1b[31m name\nof two lines", "id": "x"},
]
COLUMNS = {"JOB": lambda item: item["job"], "ID": lambda item: item["id"]}


def test_without_a_limit_a_table_is_whole_and_harmless() -> None:
    assert table(ITEMS, COLUMNS, width=None) == [
        "JOB                  ID",
        "nightly-report       0193583e-0000",
        "a name of two lines  x",
    ]


@pytest.mark.parametrize("width", range(1, 60))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for droppable in ((), ("ID",)):
        lines = table(ITEMS, COLUMNS, width=width, droppable=droppable)

        assert max(map(len, lines)) <= width


def test_a_narrow_table_loses_what_it_may_and_then_cuts() -> None:
    dropped = table(ITEMS, COLUMNS, width=20, droppable=("ID",))
    cut = table(ITEMS, COLUMNS, width=28)

    assert dropped == ["JOB", "nightly-report", "a name of two lines"]
    assert cut[1:] == ["nightly-repo…  0193583e-0000", "a name of tw…  x"]


def test_the_terminal_is_left_as_it_was_whatever_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_screen, "size", lambda: (80, 3))

    def fail() -> None:
        with screen() as draw:
            draw(["one", "two", "three"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    output = capsys.readouterr().out
    assert output.startswith("\x1b[?1049h\x1b[?25l\x1b[Hone")
    assert output.endswith("\x1b[?25h\x1b[?1049l")
    assert "three" not in output

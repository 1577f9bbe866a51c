"""The report has each line of a source once."""

import pytest

from jobs_app.cli.import_report import print_report, report_as_json, summary
from jobs_app.cli.import_sources import Item, Source

SOURCE = Source(
    "/etc/x",
    "a crontab",
    "crontab a:/etc/x",
    [
        Item(1, "# x", "comment"),
        Item(2, "", "blank"),
        Item(3, "A=1", "variable", note="a variable"),
        Item(4, "61 * * * * \x1b[31mx", "refused", problem="out of range", advice="write 1"),
        Item(5, "# y", "comment"),
    ],
    notes=["a note"],
    missing=["old"],
)


def test_each_line_is_printed_with_its_number_and_quiet_ones_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_report([SOURCE], ["a sentence"], is_done=False)

    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "/etc/x: a crontab",
        "  a note",
        "  1-2  (comment and blank)",
        "    3  A=1",
        "       variable: a variable",
        "    4  61 * * * * x",
        "       REFUSED: out of range",
        "       What helps: write 1",
        "    5  (comment)",
        "  old comes from here, and no line has it any more. It stays, until:"
        " jobs-app job delete old",
        "",
        "Not as in cron, for all of these jobs:",
        "  a sentence",
        "",
        "Would create 0 jobs, change 0, keep 0. 1 line was refused.",
    ]


def test_json_has_each_line_as_it_stands_in_the_file() -> None:
    (source,) = report_as_json([SOURCE], [], is_done=True)["sources"]

    assert [(line["line"], line["text"]) for line in source["lines"]] == [
        (item.number, item.text) for item in SOURCE.items
    ]
    assert source["lines"][3]["action"] == "refuse"


def test_the_summary_says_whether_it_is_done() -> None:
    assert summary([], is_done=True) == "Created 0 jobs, changed 0, kept 0."

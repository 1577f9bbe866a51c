"""A text from another program's file is refused with a sentence that says what to do."""

import pytest

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules import cron_expression, cron_fields, cron_messages

COMMAND = r"a command is an argument of the task \(--command\)"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("0 12 * * *\n30 17 * * *\n", "These are 2 expressions, .* make a job for each"),
        ("0 12 * * *; 30 17 * * *", "These are 2 expressions"),
        ("0 12 * * * | 30 17 * * * | @daily", "These are 3 expressions"),
        ("0 12 * * *, 30 17 * * *", "These are 2 expressions"),
        ("30 2 * * * backup.sh", f"has 6 fields; five are needed.*{COMMAND}"),
        ("30 2 * * * root cd /srv; ./x", f"has 9 fields; five are needed.*{COMMAND}"),
        ("30 2 * * mon-fri date +\\%F", f"has 7 fields; five are needed.*{COMMAND}"),
        ("@weekly backup.sh", f"what follows @weekly: {COMMAND}"),
        ("@hourly @daily", "what follows @hourly"),
        ("# 30 2 * * *", "begins with #, as a comment does"),
        ("# nightly", "begins with #"),
        ('"0 0 * * *"', "begins with a quotation mark: leave it out"),
        ("'@daily'", "begins with a quotation mark"),
        ("cron(0 12 * * ? *)", r"cron\(…\) is not supported: give five fields"),
        ("rate(5 minutes)", r"rate\(…\) is not supported: use an interval"),
        ("daily", "A macro begins with @: @daily"),
        ("Hourly", "A macro begins with @: @hourly"),
        ("every 5 minutes", "Words are not read: write @daily, five fields, or an interval"),
        ("0 0 1 1 * 2027", "a sixth field, a year: use start_at and end_at"),
        ("0 0 1 1 * 2027-2030", "a year"),
        ("0 0 12 * * ?", "6 fields; seconds are not supported"),
        ("0 0 12 * * ? 2027", "7 fields; seconds and years are not supported"),
        ("1, 2 * * * *", "no spaces in it: write 1,2"),
        ("1 - 5 * * * *", "no spaces in it"),
        ("* /5 * * * *", "no spaces in it"),
        ("0 0 1-15W * *", "cannot be read; .* or LW; W follows one day, no range"),
        ("0 0 * * FRIL", "cannot be read; .* 5L for the last Friday"),
        ("0 0 * * MON-FRI#1", "cannot be read; .* MON#2 for the second Monday"),
        ("0~30 * * * *", "cannot be read; .* H for a number that depends on the job's name"),
        ("R * * * *", "cannot be read; .* H for a number"),
    ],
)
def test_a_text_that_other_programs_read_is_refused_with_what_to_do(text, sentence):
    with pytest.raises(InvalidSchedule, match=sentence):
        cron_expression.parse(text)


def test_names_of_macros_are_those_that_are_read():
    assert {f"@{name}".upper() for name in cron_messages.MACRO_NAMES} == set(cron_fields.MACROS)

"""How the fields of cron expressions are read and refused, and how `H` spreads."""

from collections import Counter

import pytest

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules import cron_expression


def text_of(expression: str, seed: str = "") -> str:
    return cron_expression.parse(expression, seed).text


@pytest.mark.parametrize(
    "expression, detail",
    [
        ("", "The expression is empty"),
        ("   ", "The expression is empty"),
        ("61 * * * *", "minute 61 is out of range 0-59"),
        ("* 24 * * *", "hour 24 is out of range 0-23"),
        ("* * 0 * *", "day-of-month 0 is out of range 1-31"),
        ("* * * 13 *", "month 13 is out of range 1-12"),
        ("* * * * 8", "day-of-week 8 is out of range 0-7"),
        ("* * * * 9L", "day-of-week 9 is out of range 0-7"),
        ("* * * * MON#6", "a month has no weekday number 6"),
        ("H(0-60) * * * *", "minute 60 is out of range 0-59"),
        ("H(9-5) * * * *", "minute range H\\(9-5\\) runs backwards"),
        ("*/0 * * * *", "minute step /0 must be at least 1"),
        ("H/0 * * * *", "minute step /0 must be at least 1"),
        ("* * * * FRI-MON", "day-of-week range FRI-MON runs backwards"),
        ("* * * FOO *", "month 'FOO' cannot be read; give numbers 1-12 or names JAN-DEC"),
        ("* * ? * *", "day-of-month '\\?' cannot be read; write \\* for any"),
        ("-5 * * * *", "minute '-5' cannot be read"),
        ("1,,2 * * * *", "minute '' cannot be read"),
        (
            "* * L/2 * *",
            "day-of-month 'L/2' cannot be read; give numbers 1-31, or L for the last day",
        ),
        ("* * L-3/2 * *", "'L-3/2' cannot be read; .* or L for the last day, or L-3 for the third"),
        ("* * 1-L/8 * *", "day-of-month '1-L/8' cannot be read"),
        ("* * L-0 * *", "day-of-month L-0 is out of range L-1 to L-30; L is the last day"),
        ("* * L-31W * *", "day-of-month L-31W is out of range L-1 to L-30"),
        ("* * 0W * *", "day-of-month 0 is out of range 1-31"),
        ("* * 1,32W * *", "day-of-month 32 is out of range 1-31"),
        ("* * 1-5W * *", "'1-5W' cannot be read; .* W follows one day, no range"),
        ("* * WL * *", "'WL' cannot be read; .* 15W for the working day nearest the 15th, or LW"),
        ("0 0 30W 2 *", "0 0 30W 2 \\* never fires: none of its months has such a day"),
        ("0 0 31W,L-30 4,6 *", "never fires: none of its months has such a day"),
        ("0 0 L-29 2 *", "never fires: none of its months has such a day"),
        ("* * * FOO-3 *", "month 'FOO-3' cannot be read"),
        ("* * * * FOO#1", "day-of-week 'FOO#1' cannot be read"),
        ("* * * * 5W", "day-of-week '5W' cannot be read"),
        ("* * * * FRIL", "day-of-week 'FRIL' cannot be read"),
        ("* * *", "The expression has 3 fields; five are needed"),
        ("* * * * * *", "6 fields; seconds are not supported"),
        ("0 0 12 * * MON-FRI", "6 fields; seconds are not supported"),
        ("0 0 * * * /usr/bin/backup", "has 6 fields; five are needed"),
        ("0 0 * * * Asia/Tokyo", "has 6 fields; five are needed"),
        ("TZ=Asia/Tokyo 0 0 * * *", "begins with TZ=; give the time zone of the job instead"),
        ("CRON_TZ=Asia/Tokyo 0 0 * * *", "begins with CRON_TZ=; give the time zone of the job"),
        ("CRON_TZ = Asia/Tokyo 0 0 * * *", "begins with CRON_TZ=; give the time zone of the job"),
        ("TZ=UTC @daily", "begins with TZ=; give the time zone of the job"),
        ("MAILTO=ops 0 0 * * *", "begins with MAILTO=; leave it out"),
        ("@reboot", "@reboot is no expression here: .*on: start"),
        ("@every 5m", "@every is not supported: use an interval"),
        ("@dayly", "There is no macro @dayly; did you mean @daily"),
        ("@xyz", "There is no macro @xyz; known are @hourly"),
        ("0\x00 * * * *", "characters that no cron expression has"),
        ("٣ * * * *", "characters that no cron expression has"),
        ("0," * 128 + "0 * * * *", "has 265 characters; 256 are allowed"),
        ("0 0 31 4,6,9,11 *", "0 0 31 4,6,9,11 \\* never fires"),
    ],
)
def test_an_unreadable_expression_is_refused_with_a_sentence(expression, detail):
    with pytest.raises(InvalidSchedule, match=detail) as caught:
        cron_expression.parse(expression)

    assert {error.pointer for error in caught.value.errors} == {"/cron"}


def test_every_broken_field_is_named_at_once():
    with pytest.raises(InvalidSchedule) as caught:
        cron_expression.parse("60 24 32 13 8")

    assert [error.code for error in caught.value.errors] == ["out_of_range"] * 5


@pytest.mark.parametrize(
    "macro, meaning",
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        (" @ANNUALLY ", "0 0 1 1 *"),
    ],
)
def test_a_macro_stands_for_five_fields(macro, meaning):
    assert text_of(macro, "any name") == meaning


def test_capitals_and_spaces_do_not_matter():
    assert text_of("\t0  9 * jan-mar mon#2 ") == "0 9 * JAN-MAR 1#2"


def test_last_and_working_days_are_written_in_one_way():
    assert text_of("0 9 l-03,015w,lw,L-1W * *") == "0 9 L-3,15W,LW,L-1W * *"


def test_a_thousand_names_leave_no_minute_crowded():
    minutes = Counter(text_of("H * * * *", f"job-{n}").split()[0] for n in range(1000))

    assert len(minutes) == 60
    assert max(minutes.values()) <= 40


def test_h_is_the_same_for_ever():
    drawn = text_of("H H H H H", "nightly-report")

    assert drawn == "18 0 7 3 6"
    assert drawn == text_of("h h h h h", "nightly-report")


def test_the_fields_of_h_are_drawn_independently():
    pairs = {tuple(text_of("H H * * *", f"job-{n}").split()[:2]) for n in range(1000)}

    # 1,000 draws from 1,440 pairs hit some 720 of them.
    assert len(pairs) > 600


@pytest.mark.parametrize(
    "field, position, allowed",
    [
        ("H(10-19) * * * *", 0, set(range(10, 20))),
        ("0 H * * *", 1, set(range(24))),
        ("0 0 H * *", 2, set(range(1, 29))),
        ("0 0 1 H *", 3, set(range(1, 13))),
        ("0 0 * * H", 4, set(range(7))),
    ],
)
def test_h_draws_every_number_of_its_range_and_no_other(field, position, allowed):
    drawn = {int(text_of(field, f"job-{n}").split()[position]) for n in range(500)}

    assert drawn == allowed


@pytest.mark.parametrize(
    "expression, low, high, step",
    [
        ("H/15 * * * *", 0, 59, 15),
        ("H(0-29)/10 * * * *", 0, 29, 10),
        ("H(0-29)/30 * * * *", 0, 29, 30),
    ],
)
def test_h_with_a_step_moves_the_whole_series(expression, low, high, step):
    series = {cron_expression.parse(expression, f"job-{n}").minutes for n in range(300)}

    assert series == {tuple(range(start, high + 1, step)) for start in range(low, low + step)}

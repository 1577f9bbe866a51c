"""The limits of a command: how they are written, put together, and named in an error."""

import pytest

from jobs_app.core.command_limits import Limits, bytes_of, limits_sentence, parse_limits, together
from jobs_app.core.settings import Settings
from jobs_app.tasks import registry
from tests.factories import TASKS

MIB = 1024**2


@pytest.mark.parametrize(
    "text, number",
    [
        ("512MiB", 512 * MIB),
        ("2 GiB", 2048 * MIB),
        ("1.5G", 1536 * MIB),
        ("64KB", 65_536),
        ("1000000", 1_000_000),
        ("7B", 7),
        (5_000_000, 5_000_000),
    ],
)
def test_a_size_is_read_in_powers_of_1024(text: int | str, number: int) -> None:
    assert bytes_of(text) == number


@pytest.mark.parametrize("text", ["", "MiB", "-1M", "1e9", "1 000", "5 MiBs", "1PiB", "nan", "٣M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        bytes_of(text)


@pytest.mark.parametrize(
    "limits, pointer",
    [
        ({"memory": "512MiB", "processes": 64, "open_files": 256, "cpus": 0.5}, None),
        ({"memory": 536_870_912, "cpu_seconds": 60, "cpus": 2}, None),
        ({}, None),
        (None, None),
        ({"memory": "1KiB"}, "/kwargs/limits/memory"),
        ({"memory": "much"}, "/kwargs/limits/memory"),
        ({"memory": True}, "/kwargs/limits/memory"),
        ({"processes": 0}, "/kwargs/limits/processes"),
        ({"processes": 1.5}, "/kwargs/limits/processes"),
        ({"cpus": 0}, "/kwargs/limits/cpus"),
        ({"disk": "1G"}, "/kwargs/limits/disk"),
        ("512MiB", "/kwargs/limits"),
    ],
)
def test_a_save_checks_the_limits(limits: object, pointer: str | None) -> None:
    errors = registry.check(TASKS, "shell", {"command": "true", "limits": limits})

    assert {error.pointer for error in errors} == ({pointer} if pointer else set())


def test_of_two_limits_the_lower_one_counts() -> None:
    job = Limits(memory="1GiB", processes=9)
    setting = Limits(memory="512MiB", cpus=2)

    assert together(job, setting) == {"memory": 512 * MIB, "processes": 9, "cpus": 2}
    assert together(None, Limits()) == {}


def test_a_setting_has_the_limits_of_all_commands() -> None:
    settings = Settings(shell_limits=" memory=2GiB , processes=200,cpus=1.5")

    assert settings.command_limits == Limits(memory="2GiB", processes=200, cpus=1.5)


@pytest.mark.parametrize("text", ["memory", "memory=lots", "disk=1G", "processes=-1", "cpus=half"])
def test_a_setting_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as in memory=2GiB"):
        parse_limits(text)


@pytest.mark.parametrize(
    "reached, sentence",
    [
        (("memory",), "It reached its limit of 512 MiB of memory."),
        (
            ("cpu_seconds", "memory"),
            "It reached its limit of 512 MiB of memory and 60 s of processor time.",
        ),
        ((), "Its limits were 512 MiB of memory, 1 process, 60 s of processor time."),
    ],
)
def test_an_error_names_the_limits(reached: tuple[str, ...], sentence: str) -> None:
    limits = {"memory": 512.0 * MIB, "processes": 1, "cpu_seconds": 60}

    assert limits_sentence(limits, reached) == sentence


def test_an_error_without_limits_names_none() -> None:
    assert limits_sentence({}, ()) == ""

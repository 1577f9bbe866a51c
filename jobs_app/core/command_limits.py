"""The limits of what a command may use: read, put together, and named in its error."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from jobs_app.core.text import counted

KIB = 1024
_UNITS = {"": 1, "K": KIB, "M": KIB**2, "G": KIB**3, "T": KIB**4}
_SIZE = re.compile(r"(?P<number>\d{1,12}(?:\.\d{1,6})?) ?(?P<unit>[KMGT]?)(?:i?B)?", re.ASCII)

#: With less a shell does not even start, bytes.
LEAST_MEMORY = 4 * KIB**2
MOST = 2**40

#: Limits of a number, by name: bytes for memory, processors for cpus.
Numbers = Mapping[str, float]


def bytes_of(size: int | str) -> int:
    """Return a size in bytes: `512MiB`, `2 GiB`, `64K`, or a number. Raises ValueError.

    Each unit is a power of 1024, as for systemd and Docker.
    """
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if isinstance(size, str) and match is None:
        raise ValueError(f"{size!r} is no size")
    value = size if match is None else float(match["number"]) * _UNITS[match["unit"]]
    return int(value)


def _size(size: int | str) -> int | str:
    try:
        number = bytes_of(size)
    except ValueError:
        number = 0
    if not LEAST_MEMORY <= number <= MOST * KIB:
        sentence = "must be a size of at least 4 MiB, as 512MiB or 2GiB."
        raise PydanticCustomError("bad_size", sentence)
    return size


Size = Annotated[int | str, AfterValidator(_size), Field(examples=["512MiB"])]
Count = Annotated[int, Field(ge=1, le=MOST)]
Cpus = Annotated[float, Field(ge=0.01, le=10_000)]


class Limits(BaseModel):
    """What a command may use at most; None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: Size | None = None
    processes: Count | None = None
    open_files: Annotated[int, Field(ge=8, le=MOST)] | None = None
    cpu_seconds: Count | None = None
    cpus: Cpus | None = None

    def numbers(self) -> dict[str, float]:
        """Return the limits that there are, by name: memory in bytes."""
        values = {name: value for name, value in self if value is not None}
        return {
            name: bytes_of(value) if name == "memory" else float(value)
            for name, value in values.items()
        }


def parse_limits(text: str) -> Limits:
    """Return the limits in a setting: `memory=2GiB,processes=200`. Raises ValueError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    values = {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in parts)}
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        wrong = str(error.errors()[0]["loc"][0])
        raise ValueError(
            f"{wrong[:60]}: use memory, processes, open_files, cpu_seconds or cpus, each with"
            " = and its value, as in memory=2GiB,processes=200"
        ) from None


def together(*limits: Limits | None) -> dict[str, float]:
    """Return the numbers of *limits*; of two the lower one counts."""
    numbers: dict[str, float] = {}
    for part in limits:
        for name, number in ({} if part is None else part.numbers()).items():
            numbers[name] = min(number, numbers.get(name, number))
    return numbers


def limit_text(name: str, number: float) -> str:
    """Return a limit in words: "512 MiB of memory"."""
    match name:
        case "memory":
            return f"{_size_text(number)} of memory"
        case "processes":
            return counted(int(number), "process")
        case "open_files":
            return counted(int(number), "open file")
        case "cpu_seconds":
            return f"{number:g} s of processor time"
        case _:
            return "1 processor" if number == 1 else f"{number:g} processors"


def _size_text(number: float) -> str:
    for unit in "TGM":
        if number >= _UNITS[unit]:
            return f"{number / _UNITS[unit]:.4g} {unit}iB"
    return counted(int(number), "byte")


def limits_sentence(limits: Numbers, reached: Iterable[str]) -> str:
    """Return which limits a failed command has *reached*, or else which it had; "" for none.

    A process that gets no more memory, processes or files is only told so: how it ends does
    not tell which limit it was.
    """
    if names := [name for name in limits if name in reached]:
        texts = " and ".join(limit_text(name, limits[name]) for name in names)
        return f"It reached its limit of {texts}."
    texts = ", ".join(limit_text(name, number) for name, number in limits.items())
    verb = "Its limit was" if len(limits) == 1 else "Its limits were"
    return f"{verb} {texts}." if texts else ""

"""Tasks of a user with hints of all kinds, for the tests of arguments and of the registry."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from celery import Celery, Task
from pydantic import BaseModel, BeforeValidator, Field, JsonValue
from typing_extensions import TypedDict

from jobs_app.tasks import registry

if TYPE_CHECKING:
    # The package has no types, or does not exist on purpose.
    from somewhere import Missing  # type: ignore[import-not-found]


class Colour(Enum):
    """An enum that is not a str."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Row:
    """A dataclass."""

    name: str
    count: int = 0


class Window(BaseModel):
    """A model."""

    start: datetime
    days: Annotated[int, Field(ge=1)] = 7


class Options(TypedDict, total=False):
    """A typed dictionary."""

    deep: bool


class Opaque:
    """A class that pydantic does not know."""


app = Celery("tests.catalog", set_as_current=False)


@app.task(shared=False, name="plain")
def plain(country: str, rows: int, dry_run: bool = False, share: float = 0.5) -> None:
    """Do something plain.

    More of it.

    Args:
        country: Two letters,
            as ISO 3166 has them.
        rows (int): How many.

    Returns:
        nothing: at all.
    """


@app.task(shared=False, name="rich")
def rich(
    numbers: list[int] | None = None,
    colour: Colour = Colour.RED,
    mode: Literal["fast", "slow"] = "fast",
    window: Window | None = None,
    # People write such signatures.
    lines: list[Row] = [],  # noqa: B006
    on: date | None = None,
    at: datetime | None = None,
    key: UUID | None = None,
    price: Decimal | None = None,
    options: Options | None = None,
    level: Annotated[int, Field(ge=0, le=10, description="From 0 to 10.", examples=[3])] = 0,
    either: int | list[str] = 0,
    pair: tuple[int, str] | None = None,
    anything: JsonValue = None,
    tags: set[str] | None = None,
) -> None:
    """Do something rich."""


@app.task(shared=False, name="forward")
def forward(known: "int", unknown: "Missing", of_many: "list[Missing]", opaque: Opaque) -> None:
    """Name types that are not to be had.

    :param known: a number that is known
    :param str unknown: nobody knows
    """


@app.task(shared=False, name="implicit")
# People write such signatures.
def implicit(limit: int = None, *, deep: bool) -> None:  # type: ignore[assignment]  # noqa: RUF013
    """Say None without saying Optional, as people do."""


@app.task(shared=False, name="open")
def open_task(name: str, **others: int) -> None:
    """Take whatever there is, as long as it is a number."""


@app.task(shared=False, name="positional")
def positional(first: int, /, second: int = 2) -> None:
    """Take what no job can give."""


@app.task(shared=False, name="bound", bind=True, autoretry_for=(OSError,))
def bound(self: Task[Any, Any], x: int) -> None:
    """Know oneself."""


@app.task(shared=False, name="model", pydantic=True)
def with_model(window: Window) -> None:
    """Be given a model by Celery."""


def _break(value: str) -> date:
    raise KeyError(value)


@app.task(shared=False, name="breaking")
def breaking(x: Annotated[date, BeforeValidator(_break)], at: date | None = None) -> None:
    """Have a hint that raises what no check should raise."""


class ByClass(Task[Any, Any]):
    """A task that is a class."""

    name = "by-class"

    def run(self, x: int, y: str = "") -> None:
        """Do it by class."""


app.register_task(ByClass())


@app.task(shared=False, name="celery.like")
def hidden() -> None:
    """Look like Celery's own."""


def faults(task: str, **kwargs: Any) -> list[tuple[str, str, str]]:
    return [(e.pointer, e.code, e.detail) for e in registry.check(app, task, kwargs)]

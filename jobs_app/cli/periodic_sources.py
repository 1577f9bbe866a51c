"""The periodic tasks of another scheduler as the source of an import."""

from collections.abc import Iterable, Mapping, Sequence

from jobs_app.cli.client import Client, Json
from jobs_app.cli.import_sources import Item, Manner, Source
from jobs_app.jobs.importers.command_names import name_of_key
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry, draft_of

#: The fields of a job that treats runs as beat does, and as APScheduler does.
LIKE_BEAT: Json = {
    "time_limit_seconds": None,
    "soft_time_limit_seconds": None,
    "overlap_policy": "allow_all",
}
NO_LIMIT: Json = {"time_limit_seconds": None, "soft_time_limit_seconds": None}


def tasks_of(client: Client) -> dict[str, Json]:
    """Return the tasks of the server, by name; raises Failure."""
    return {task["name"]: task for task in client.read("/tasks")["items"]}


def source_of(
    entries: Iterable[PeriodicEntry],
    *,
    title: str,
    form: str,
    origin: str,
    manner: Manner,
    tasks: Mapping[str, Json],
    prefix: str,
    like_source: Mapping[str, object],
    notes: Sequence[str] = (),
) -> Source:
    """Return *entries* as a source called *origin*, each with its draft or why it has none."""
    items = [
        _item(number, entry, tasks, prefix=prefix, like_source=like_source)
        for number, entry in enumerate(entries, 1)
    ]
    return Source(title, form, origin[:200], items, list(notes), manner=manner, noun="entry")


def _item(
    number: int,
    entry: PeriodicEntry,
    tasks: Mapping[str, Json],
    *,
    prefix: str,
    like_source: Mapping[str, object],
) -> Item:
    item = Item(
        number,
        entry.text,
        "left out" if entry.left_out else "entry",
        differences=list(entry.differences),
        note=entry.left_out or entry.note,
        problem=entry.problem,
        advice=entry.advice,
        name=name_of_key(entry.key, prefix=prefix),
    )
    if entry.left_out or entry.problem:
        return item
    try:
        item.draft = draft_of(entry, tasks, prefix=prefix, like_source=like_source)
    except Refused as refusal:
        item.problem, item.advice = refusal.problem, refusal.advice
    return item

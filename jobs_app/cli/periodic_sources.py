"""The periodic tasks of another scheduler as the source of an import."""

from collections.abc import Iterable, Mapping, Sequence

import click

from jobs_app.cli.client import Client, Json
from jobs_app.cli.import_sources import Item, Manner, Source
from jobs_app.jobs.importers.command_names import name_of_key
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry, Workers, draft_of
from jobs_app.secrets import references

#: The value of --results-from for results in a queue of the broker.
RPC = "rpc://"

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


def workers_of(send_to: str | None, results_from: str | None) -> Workers | None:
    """Return the workers that --send-to and --results-from name; None without. Raises UsageError.

    Both take the name of a secret, or a reference to one.
    """
    if send_to is None:
        if results_from is not None:
            raise click.UsageError("--results-from goes with --send-to.")
        return None
    backend = (
        results_from if results_from in (None, RPC) else _reference("results-from", results_from)
    )
    return Workers(_reference("send-to", send_to), backend)


def _reference(option: str, text: str) -> str:
    reference = text if references.is_reference(text) else f"{references.OPENING}{text}}}"
    if not references.is_reference(reference):
        raise click.UsageError(
            f"--{option} takes the name of a secret, which holds the URL: store it with `jobs-app"
            " secret set NAME`, and write NAME."
        )
    return reference


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
    workers: Workers | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """Return *entries* as a source called *origin*, each with its draft or why it has none."""
    items = [
        _item(number, entry, tasks, prefix=prefix, like_source=like_source, workers=workers)
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
    workers: Workers | None,
) -> Item:
    item = Item(
        number,
        entry.text,
        "left out" if entry.left_out else "entry",
        differences=[*entry.differences, *(() if workers else entry.differences_here)],
        note=entry.left_out or entry.note,
        problem=entry.problem,
        advice=entry.advice,
        name=name_of_key(entry.key, prefix=prefix),
    )
    if entry.left_out or entry.problem:
        return item
    try:
        item.draft = draft_of(entry, tasks, prefix=prefix, like_source=like_source, workers=workers)
    except Refused as refusal:
        item.problem, item.advice = refusal.problem, refusal.advice
    return item

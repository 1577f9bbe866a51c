"""An import from another scheduler: its lines, the steps they mean, and how these are done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from jobs_app.cli.client import Client, Json
from jobs_app.cli.failure import Failure, Unreachable
from jobs_app.cli.import_plan import Step, carry_out, plan
from jobs_app.cli.job_options import writable
from jobs_app.cli.paths import job_path
from jobs_app.jobs.importers.command_names import is_numbered
from jobs_app.jobs.importers.drafts import (
    Defaults,
    Draft,
    Import,
    documents,
    find_present,
    keep_edits,
    same_task,
)

#: The history of a job that an import has written has a note that begins so.
IMPORTED = "Imported"


@dataclass(frozen=True, slots=True)
class Manner:
    """The name of a scheduler, the option of the import that asks for its ways, and these ways.

    `overlaps`: it starts a run while the last one goes on. `catches_up`: a fire that an outage
    delayed runs afterwards. `starts_all`: no slot limits how many run at once.
    """

    name: str
    option: str
    overlaps: bool = True
    catches_up: bool = False
    starts_all: bool = False


CRON = Manner("cron", "--like-cron", starts_all=True)
# After an outage both start a task once, from the time of its last start.
BEAT = Manner("beat", "--like-beat", catches_up=True)
# Its own jobs say whether runs overlap, and how late a run may start.
APSCHEDULER = Manner("APScheduler", "--like-apscheduler", overlaps=False, catches_up=True)


@dataclass(slots=True)
class Item:
    """A line or an entry of a source, and what becomes of it.

    `kind` is the source's own word for it. `draft` is None if it describes no job. `problem`
    says why it becomes none although it does, and `advice` what helps. `name` is that of the entry
    there, as a job has it, or the one made from its `command`; "" if it has none.
    """

    number: int
    text: str
    kind: str
    draft: Draft | None = None
    differences: list[str] = field(default_factory=list)
    note: str = ""
    problem: str = ""
    advice: str = ""
    step: Step | None = None
    name: str = ""
    command: str = ""

    @property
    def action(self) -> str:
        """What becomes of it: create, change, keep, refuse; "" for a line without a job."""
        if self.problem:
            return "refuse"
        return self.step.action if self.step else ""


@dataclass(slots=True)
class Source:
    """A file or a database of another scheduler. `missing` are jobs that it no longer has.

    `noun` is its word for an item.
    """

    title: str
    form: str
    origin: str
    items: list[Item]
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    manner: Manner = CRON
    noun: str = "line"


def plan_sources(client: Client, sources: Sequence[Source], defaults: Defaults) -> None:
    """Fill in the step of each item that describes a job, or why the server refuses it.

    Nothing is changed. Raises Failure if the server cannot be asked.
    """
    jobs = client.page("/jobs", limit=None)["items"]
    taken = {job["name"] for job in jobs}
    for source in sources:
        ours = [writable(job) for job in jobs if job.get("origin") == source.origin]
        elsewhere = [job for job in jobs if job.get("origin") != source.origin]
        items, present = _matched(source, ours, elsewhere)
        drafts = [item.draft for item in items if item.draft is not None]
        others = {job["name"] for job in elsewhere}
        own = replace(defaults, origin=source.origin)
        made = documents(drafts, present, taken=taken, defaults=own)
        taken |= {document["name"] for document in made}
        matched = {job["name"] for job in present if job is not None}
        left = [job for job in ours if job["name"] not in matched]
        source.missing = _missing(left, source.items)
        for item, document, job in zip(items, made, present, strict=True):
            wanted = item.draft.name if item.draft else ""
            if job is None and wanted in others:
                sentence = f"the name {wanted} belongs to another job, which stays as it is"
                item.note = "; ".join(filter(None, [item.note, sentence]))
            _plan_item(client, item, document)
            if item.action == "change":
                _keep_edits(client, item, document, own)
            if item.problem and job is not None:
                _name_job_before(item, job["name"])


def _missing(jobs: Sequence[Json], items: Sequence[Item]) -> list[str]:
    """Return the names of *jobs* that come from none of *items*.

    An item that is refused now, and was one of them before, says so.
    """
    refused = [item for item in items if item.problem]
    rest = list(jobs)
    for is_match in (_has_command, _has_name):
        for job in list(rest):
            item = next((item for item in refused if is_match(item, job)), None)
            if item is not None:
                _name_job_before(item, job["name"])
                refused.remove(item)
                rest.remove(job)
    return [job["name"] for job in rest]


def _has_command(item: Item, job: Json) -> bool:
    return bool(item.command) and item.command == (job.get("kwargs") or {}).get("command")


def _has_name(item: Item, job: Json) -> bool:
    return bool(item.name) and is_numbered(job["name"], item.name)


def _name_job_before(item: Item, name: str) -> None:
    # The server's sentences may have several lines.
    end = "\n" if "\n" in item.problem else " "
    item.problem += f"{end}The job {name}, which it was before, stays as it is."


def _matched(
    source: Source, ours: Sequence[Json], elsewhere: Sequence[Json]
) -> tuple[list[Item], list[Json | None]]:
    """Return the items of *source* that describe a job, and the one of *ours* that each is.

    A new one with a name that does the same as a job from *elsewhere* is left out: the same
    periodic task may be in code and in a store.
    """
    items = [item for item in source.items if item.draft is not None]
    present = find_present([item.draft for item in items if item.draft is not None], ours)
    kept: list[tuple[Item, Json | None]] = []
    for item, job in zip(items, present, strict=True):
        same = None if job or item.draft is None else same_task(item.draft, elsewhere)
        if same is None:
            kept.append((item, job))
            continue
        origin = f", from {same['origin']}," if same.get("origin") else ""
        item.draft = None
        item.note = f"the job {same['name']}{origin} does the same, so that no other one is made"
    return [item for item, _ in kept], [job for _, job in kept]


def _plan_item(client: Client, item: Item, document: Json) -> None:
    try:
        item.step = plan(client, document)
    except Unreachable:
        raise
    except Failure as failure:
        item.problem = f"The server refuses it: {failure.message}"


def _keep_edits(client: Client, item: Item, document: Json, defaults: Defaults) -> None:
    """Plan *item* anew if people have edited its job since the last import, which left its mark.

    What the source has not changed since then stays as they have set it.
    """
    if item.step is None or item.step.present is None or item.draft is None:
        return
    path = f"{job_path(item.step.name)}/revisions"
    revisions = client.page(path, limit=None)["items"]
    edits = [one for one in revisions if not _is_import(one)]
    if not edits:
        return
    present = writable(item.step.present.body)
    imports = (_import_of(client, path, one) for one in revisions if _is_import(one))
    kept = keep_edits(document, item.draft, present, imports, defaults)
    if kept != document:
        _plan_item(client, item, kept)
    edits = [one for one in edits if set(one["changed"]) != {"observe"}]
    if not edits:
        # To let it run is what an import that observes is for.
        return
    by = edits[0]["by"] or "somebody"
    sentence = f"edited by {by}: that stays, except where the {item.kind} has changed since"
    item.note = "; ".join(filter(None, [item.note, sentence]))


def _is_import(revision: Json) -> bool:
    return (revision["note"] or "").startswith(IMPORTED)


def _import_of(client: Client, path: str, revision: Json) -> Import:
    definition = client.read(f"{path}/{revision['number']}")["definition"]
    # The names of changed fields are as `schedule.cron`.
    changed = frozenset(name.partition(".")[0] for name in revision["changed"])
    return Import(writable(definition), changed)


def steps_to_do(sources: Sequence[Source]) -> Iterator[Step]:
    """Yield the steps that change something."""
    return (step for step, _ in _items_to_do(sources))


def _items_to_do(sources: Sequence[Source]) -> Iterator[tuple[Step, Item]]:
    for source in sources:
        for item in source.items:
            if item.step is not None and item.step.action != "keep":
                yield item.step, item


def carry_out_all(client: Client, sources: Sequence[Source], *, is_paused: bool) -> None:
    """Carry out all steps; raises Failure, which names the job, at the first that fails."""
    for step, item in _items_to_do(sources):
        try:
            waits = is_paused or (item.draft is not None and item.draft.is_paused)
            carry_out(client, step, is_paused=waits, is_imported=True)
        except Failure as failure:
            sentence = "The jobs before it are done. The same import again does the rest."
            raise Failure(
                f"{step.name}: {failure.message}\n{sentence}", failure.exit_code
            ) from failure

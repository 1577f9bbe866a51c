"""The report of an import: each line of its sources, and what differs from there to here."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from jobs_app.cli.client import Json
from jobs_app.cli.format import duration, one_line
from jobs_app.cli.import_plan import Step
from jobs_app.cli.import_sources import Item, Manner, Source, steps_to_do
from jobs_app.cli.job_diff import changed_fields
from jobs_app.cli.job_options import writable
from jobs_app.cli.job_view import outlook
from jobs_app.cli.output import print_text
from jobs_app.core.text import counted, shortened

#: Longest text of a line of the source in the report, characters.
MOST_CHARACTERS = 160
DONE = {"create": "Created", "change": "Changed"}
#: Lines of these kinds are counted together: nothing becomes of them.
QUIET = frozenset({"blank", "comment"})


def report_as_json(sources: Sequence[Source], general: Sequence[str], *, is_done: bool) -> Json:
    """Return the report as JSON: each line once, in the order of the source."""
    return {
        "applied": is_done,
        "differences": list(general),
        "sources": [
            {
                "source": source.title,
                "form": source.form,
                "origin": source.origin,
                "notes": source.notes,
                "lines": [_item_as_json(item) for item in source.items],
                "missing": source.missing,
            }
            for source in sources
        ],
    }


def _item_as_json(item: Item) -> Json:
    fields: Json = {
        "line": item.number,
        "text": item.text,
        "kind": item.kind,
        "action": item.action or None,
        "name": item.step.name if item.step else None,
        "differences": item.differences,
        "note": item.note or None,
        "problem": item.problem or None,
        "advice": item.advice or None,
    }
    if item.step is not None:
        job = item.step.preview["job"]
        fields |= {
            "schedule": job.get("description_of_schedule"),
            "next_run_at": job.get("next_run_at"),
            "warnings": item.step.preview["effect"]["warnings"],
            "changes": _changes(item.step),
        }
    return fields


def print_report(sources: Sequence[Source], general: Sequence[str], *, is_done: bool) -> None:
    """Print each line of each source with what becomes of it, then what differs for all."""
    for source in sources:
        print_text(f"{source.title}: {source.form}")
        for note in source.notes:
            print_text(f"  {note}")
        width = len(str(max((item.number for item in source.items), default=0))) * 2 + 1
        for quiet, items in groupby(source.items, key=lambda item: item.kind in QUIET):
            for line in (
                _quiet_lines(list(items), width)
                if quiet
                else _lines(items, width, source.manner.name, is_done=is_done)
            ):
                print_text(line)
        for name in source.missing:
            print_text(
                f"  {name} comes from here, and no {source.noun} has it any more. It stays, until:"
                f" jobs-app job delete {name}"
            )
        print_text("")
    if general:
        names = dict.fromkeys(source.manner.name for source in sources)
        print_text(f"Not as in {' and '.join(names)}, for all of these jobs:")
        for sentence in general:
            print_text(f"  {sentence}")
        print_text("")
    print_text(summary(sources, is_done=is_done))


def _quiet_lines(items: Sequence[Item], width: int) -> Iterator[str]:
    first, last = items[0].number, items[-1].number
    numbers = str(first) if first == last else f"{first}-{last}"
    kinds = sorted({item.kind for item in items}, reverse=True)
    yield f"  {numbers:>{width}}  ({' and '.join(kinds)})"


def _lines(items: Iterator[Item], width: int, scheduler: str, *, is_done: bool) -> Iterator[str]:
    indent = " " * (width + 4)
    for item in items:
        yield f"  {item.number:>{width}}  {shortened(one_line(item.text), MOST_CHARACTERS)}"
        for text in _texts(item, scheduler, is_done=is_done):
            first, *more = text.splitlines()
            yield f"{indent}{first}"
            yield from (f"{indent}  {line.strip()}" for line in more)


def _texts(item: Item, scheduler: str, *, is_done: bool) -> Iterator[str]:
    """Yield what becomes of a line that is not quiet."""
    if item.problem:
        yield f"REFUSED: {item.problem}"
        if item.advice:
            yield f"What helps: {item.advice}"
        return
    if item.note:
        yield f"{'Note' if item.draft else item.kind}: {item.note}"
    if item.step is None:
        return
    yield _step_text(item.step, is_done=is_done)
    for change in _changes(item.step):
        yield f"  {change}"
    for difference in item.differences:
        yield f"Not as in {scheduler}: {difference}"
    for warning in item.step.preview["effect"]["warnings"]:
        yield f"Note: {warning}"


def _step_text(step: Step, *, is_done: bool) -> str:
    if step.action == "keep":
        return f"Unchanged {step.name}."
    verb = DONE[step.action] if is_done else f"Would {step.action}"
    return f"{verb} {step.name}: {outlook(step.preview['job'])}"


def _changes(step: Step) -> list[str]:
    if step.present is None:
        return []
    return changed_fields(writable(step.present.body), writable(step.preview["job"]))


def summary(sources: Sequence[Source], *, is_done: bool) -> str:
    """Return what was done, or would be, in one sentence."""
    items = [item for source in sources for item in source.items]
    count = {
        action: sum(item.action == action for item in items)
        for action in ("create", "change", "keep", "refuse")
    }
    created = f"{'Created' if is_done else 'Would create'} {counted(count['create'], 'job')}"
    changed = f"{'changed' if is_done else 'change'} {count['change']}"
    kept = f"{'kept' if is_done else 'keep'} {count['keep']}"
    refused, noun = count["refuse"], sources[0].noun if sources else "line"
    ending = f" {counted(refused, noun)} {'was' if refused == 1 else 'were'} refused."
    return f"{created}, {changed}, {kept}.{ending if refused else ''}"


def note_limits(sources: Sequence[Source]) -> None:
    """Note at the new and changed jobs a time limit that their source does not have.

    The code of a task may declare one, and the entry of a source too: their workers follow it.
    """
    for source in sources:
        for item in source.items:
            if item.step is None or item.draft is None or item.step.action == "keep":
                continue
            job = item.step.preview["job"]
            limit = job.get("time_limit_seconds")
            declared = (job.get("declared") or {}).get("time_limit_seconds")
            if limit not in (None, declared, item.draft.fields.get("time_limit_seconds")):
                item.differences.append(
                    f"A run is ended at its time limit, {duration(limit)}"
                    f" ({source.manner.option}: no limit)."
                )


def policy_differences(sources: Sequence[Source], manner: Manner) -> Iterator[str]:
    """Yield how limits and policies of the new and changed jobs differ from those of *manner*."""
    jobs = [step.preview["job"] for step in steps_to_do(sources)]
    option = manner.option
    if manner.overlaps and any(job["overlap_policy"] != "allow_all" for job in jobs):
        yield f"A fire is skipped while the last run goes on ({option}: both run)."
    if not manner.catches_up and any(job["catchup_policy"] != "none" for job in jobs):
        yield f"A fire that an outage delayed runs afterwards ({option}: it does not)."

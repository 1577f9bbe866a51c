"""Starting a run from the command line: its options, the wait for its end, its outcome."""

import sys
import time
from collections import Counter
from collections.abc import Callable

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.format import Duration, duration
from jobs_app.cli.job_options import kwargs_from, typed_options
from jobs_app.cli.log_follow import follow
from jobs_app.cli.outcome_text import compact, outcome_line, reason_text
from jobs_app.cli.output import choice_of, options, print_json, print_note, print_text
from jobs_app.cli.paths import job_path
from jobs_app.cli.several_jobs import Batch, do_each
from jobs_app.cli.wait import outcome_code, wait_for
from jobs_app.core.escape_sequences import plain
from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.core.text import counted

# How much of the log of a run --wait prints.
TAIL_LINES = 20
TAIL_BYTES = 16_384


start_options = options(
    click.option("--note", help="Why, kept with the run."),
    click.option(
        "--overlap",
        type=choice_of(OverlapPolicy),
        help="Instead of the job's own policy, for this run.",
    ),
    click.option("--wait", is_flag=True, help="Wait for the end; exit with the run's own outcome."),
    click.option(
        "--timeout", type=Duration(), help="With --wait: give up waiting after this long."
    ),
    click.option(
        "--follow", "-f", "is_followed", is_flag=True, help="With --wait: print what it writes."
    ),
)


def start_run(
    path: str,
    sentence: str,
    *,
    note: str | None,
    overlap: str | None,
    wait: bool,
    timeout: float | None,
    is_followed: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Start a run by a POST to *path*; with --wait, exit with the outcome of the run.

    Without --wait, print *sentence*, which comes between the run's id and its state.
    Raises UsageError for options that have no effect or contradict each other.
    """
    _check(wait=wait, timeout=timeout, is_followed=is_followed, as_json=as_json)
    client = connect()
    run = client.post(path, _start_body(note=note, overlap=overlap))
    if wait:
        _wait_and_exit(client, run, timeout=timeout, is_followed=is_followed, as_json=as_json)
    elif as_json:
        print_json(run)
    else:
        print_text(f"Run {run['id']} {sentence} {run['state']}.")
        print_note(f"Follow it with: jobs-app run log -f {run['id']}")


def _check(*, wait: bool, timeout: float | None, is_followed: bool, as_json: bool) -> None:
    """Raise UsageError for options that have no effect or contradict each other."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    if is_followed and (as_json or not wait):
        raise click.UsageError("--follow needs --wait, and does not go with --json.")


def start_runs(
    jobs: Callable[[], list[str]],
    *,
    note: str | None,
    overlap: str | None,
    wait: bool,
    timeout: float | None,
    is_followed: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Start a run of each of several *jobs*; with --wait, wait until all have ended.

    Exits with the worst code of a start or an outcome. Raises UsageError.
    """
    _check(wait=wait, timeout=timeout, is_followed=is_followed, as_json=as_json)
    if is_followed:
        raise click.UsageError("--follow prints the output of one run: name one job.")
    client, body = connect(), _start_body(note=note, overlap=overlap)
    runs: dict[str, Json] = {}

    def start(name: str) -> Json:
        run = runs[name] = client.post(f"{job_path(name)}/runs", body)
        if not as_json:
            print_text(f"Run {run['id']} of {name} is {run['state']}.")
        return run

    batch = do_each(jobs(), start, is_single=False)
    if not wait:
        batch.finish(as_json=as_json, summary=batch.summary("Started", "run"))
        return
    print_note(batch.summary("Started", "run"))
    batch = _wait_for_all(client, runs, batch, timeout=timeout, as_json=as_json)
    states = Counter(str(run["state"]).replace("_", " ") for run in batch.answers if "state" in run)
    texts = ", ".join(f"{count:,} {state}" for state, count in states.items())
    summary = f"{counted(states.total(), 'run')} ended" + (f": {texts}." if texts else ".")
    batch.finish(as_json=as_json, summary=summary)


def _wait_for_all(
    client: Client, runs: dict[str, Json], started: Batch, *, timeout: float | None, as_json: bool
) -> Batch:
    """Wait until all *runs* have ended; *timeout* is that of the whole wait."""
    deadline = None if timeout is None else time.monotonic() + timeout

    def wait_for_one(name: str) -> Json:
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        run = wait_for(client, runs[name], timeout_seconds=left)
        if not as_json:
            _print_outcome(client, run)
        codes.append(outcome_code(run))
        return run

    codes = [started.exit_code]
    ended = do_each(list(runs), wait_for_one, is_single=False)
    ended.answers += [answer for answer in started.answers if "failure" in answer]
    ended.exit_code = max(ended.exit_code, *codes)
    return ended


def _start_body(*, note: str | None, overlap: str | None) -> Json:
    typed = typed_options()
    body: Json = {"note": note, "overlap_policy": overlap}
    if typed.keys() & {"kwargs", "arguments"}:
        body["kwargs"] = kwargs_from(typed)
    return {name: value for name, value in body.items() if value is not None}


def _wait_and_exit(
    client: Client, run: Json, *, timeout: float | None, is_followed: bool, as_json: bool
) -> None:
    wait_for_end = follow if is_followed else wait_for
    run = wait_for_end(client, run, timeout_seconds=timeout)
    if as_json:
        print_json(run)
    elif is_followed:
        print_note(outcome_line(run))
    else:
        _print_outcome(client, run)
    sys.exit(outcome_code(run))


def _print_outcome(client: Client, run: Json) -> None:
    """Print the end of the log of a run, and how it ended."""
    lines = last_lines(client, run, TAIL_LINES + 1)
    if len(lines) > TAIL_LINES:
        print_text(f"[the last {TAIL_LINES} lines]")
    if lines:
        print_text("\n".join(lines[-TAIL_LINES:]))
    took = run.get("duration_seconds")
    after = f" after {duration(took)}" if took is not None else ""
    if run["state"] == RunState.SUCCEEDED:
        print_text(f"Run {run['id']} succeeded{after}.")
        if run.get("cancelled_by"):
            print_text(run["reason"])
        if result := compact(run.get("result")):
            print_text(f"Result: {result}")
        return
    why = reason_text(run)
    state = run["state"].replace("_", " ")
    print_text(f"Run {run['id']} {state}{after}" + (f": {why}" if why else "."))


def last_lines(client: Client, run: Json, count: int) -> list[str]:
    """Return up to *count* lines at the end of the log of *run*, blank ones left out at the end."""
    log = run.get("log") or {}
    if not log.get("bytes") or log.get("deleted"):
        return []
    text = plain(client.text(f"/runs/{run['id']}/log", tail=TAIL_BYTES))
    return text.rstrip().splitlines()[-count:]

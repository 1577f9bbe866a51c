"""What somebody stored is text on every page, and nobody sees what is none of theirs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.models.runs import LogChunk
from jobs_app.web.permissions import OPEN, PAGE_SUFFIX
from tests.web.conftest import NOW, Api, Page, a_run

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

EVIL = "\"'><script>evil()</script><img src=x onerror=evil()>{{ 7*7 }}${7*7}"

#: What the pages of somebody limited to the tag `ours` must never show.
HIDDEN = "theirs-"


def addresses(app: Flask, **examples: Any) -> Iterator[str]:
    """Yield an address of each page, from the routes themselves."""
    for rule in app.url_map.iter_rules():
        is_page = rule.endpoint.partition(".")[0].endswith(PAGE_SUFFIX)
        is_stream = rule.endpoint.endswith(".follow")
        if (
            is_page
            and "GET" in (rule.methods or ())
            and rule.endpoint not in OPEN
            and not is_stream
        ):
            built = rule.build({name: examples.get(name, "x") for name in rule.arguments})
            assert built is not None
            yield built[1]


def hostile_run(job_id: int | None, **values: Any) -> Any:
    error = {"type": EVIL, "message": EVIL, "traceback": EVIL}
    return a_run(
        RunState.FAILED,
        job_id=job_id,
        trigger=Trigger.MANUAL,
        triggered_by=EVIL,
        note=EVIL,
        reason=EVIL,
        error=error,
        result={EVIL: [EVIL]},
        kwargs={EVIL: EVIL},
        progress={"fraction": 0.5, "message": EVIL},
        started_at=NOW,
        log_bytes=100,
        **values,
    )


def test_no_stored_text_is_markup_on_any_page(
    app: Flask, api: Api, page: Page, store: Callable[..., None]
) -> None:
    texts = {"description": EVIL, "kwargs": {"command": EVIL, "cwd": EVIL}}
    job_id = api.make_job("hostile", **texts)["id"]
    api.patch("/jobs/hostile", {"description": EVIL * 2})
    api.post("/jobs/hostile/pause", {"reason": EVIL})
    run = hostile_run(job_id)
    chunk = LogChunk(run_id=run.id, attempt=1, seq=0, stream="stdout", text=EVIL, at=NOW)
    store(run, chunk)
    seen = 0
    for address in addresses(app, name="hostile", run_id=run.id, number=2):
        for query in ("", f"?q={EVIL}&at={EVIL}&back={EVIL}&from={EVIL}&job={EVIL}"):
            answer = page(address + query)
            if answer.mimetype != "text/html":
                continue
            assert "<script>evil" not in answer.text, address
            assert "<img src=x" not in answer.text, address
            assert ">49" not in answer.text, address
            seen += "script&gt;evil" in answer.text
    # The texts are there, as text.
    assert seen > 10


def test_nobody_sees_what_is_none_of_theirs(
    app: Flask, api: Api, page_of: Callable[..., Page], store: Callable[..., None]
) -> None:
    api.make_job("ours", tags=["ours"])
    theirs = api.make_job(f"{HIDDEN}job", tags=[f"{HIDDEN}tag"], queue=f"{HIDDEN}queue")
    run = a_run(RunState.FAILED, job_id=theirs["id"], note=f"{HIDDEN}note", started_at=NOW)
    alone = a_run(RunState.FAILED, note=f"{HIDDEN}alone", started_at=NOW)
    store(run, alone)
    for role in ("viewer", "operator", "editor"):
        limited = page_of(role, tags=("ours",))
        for run_id in (run.id, alone.id):
            for address in addresses(app, name=f"{HIDDEN}job", run_id=run_id, number=1):
                answer = limited(address)
                # A page names its own address.
                own = answer.text.replace(f"{HIDDEN}job", "")
                assert HIDDEN not in own, (role, address, answer.status_code)
                is_theirs = f"{HIDDEN}job" in address or str(run_id) in address
                assert not is_theirs or answer.status_code in {403, 404}, (role, address)
        for query in (f"q={HIDDEN}", f"job={HIDDEN}job", f"tag={HIDDEN}tag", "state=failed"):
            for address in ("/jobs", "/runs", "/audit"):
                rows = limited(f"{address}?{query}").text.split("<tbody")[1:]
                assert all(HIDDEN not in row for row in rows), (role, address, query)

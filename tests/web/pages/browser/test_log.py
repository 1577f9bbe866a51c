"""The log of a run in a browser: text that is found, linked, copied and followed."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from jobs_app.accounts import sessions
from jobs_app.accounts.sessions import Browser
from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.web import streams
from jobs_app.web.pages import run_log
from tests.servers import crowding, wait_until
from tests.web.conftest import a_run
from tests.web.pages.browser.conftest import Faults, Site, sign_in

#: Pieces of output are stored in chunks of this size, characters.
CHUNK = 16_384


def store_run(
    site: Site, text: str = "", *, state: RunState = RunState.SUCCEEDED, stream: str = "stdout"
) -> Run:
    """Store a run with this log."""
    run = a_run(state, started_at=datetime.now(UTC), log_bytes=len(text.encode()))
    site.store(run)
    write(site, run, [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)], stream=stream)
    return run


def write(
    site: Site, run: Run, texts: Sequence[str], *, first: int = 0, stream: str = "stdout"
) -> None:
    """Store *texts* as the chunks of the log of *run* from *first* on."""
    at = datetime.now(UTC)
    site.store(
        *(
            LogChunk(run_id=run.id, attempt=1, seq=seq, stream=stream, at=at, text=text)
            for seq, text in enumerate(texts, first)
        )
    )


def finish(site: Site, run: Run) -> None:
    with site.database.session() as session:
        values = {"state": RunState.SUCCEEDED, "finished_at": datetime.now(UTC)}
        session.execute(update(Run).where(Run.id == run.id).values(**values))
        session.commit()


def lines(page: Page) -> list[str]:
    """Return the lines as they are shown."""
    return page.eval_on_selector_all("#log .log-line", "rows => rows.map(row => row.textContent)")


MIB = "".join(
    f"{number:06} the quick brown fox jumps over the lazy dog, again and again\n"
    for number in range(1, 15_001)
)


def test_a_long_log_is_usable_found_linked_and_copied(browser_page: Page, site: Site) -> None:
    run = store_run(site, MIB)
    begun = time.monotonic()
    browser_page.goto(f"/runs/{run.id}")
    browser_page.wait_for_selector("#L15000")
    expect(browser_page.locator("[data-log=size]")).to_have_text("15,000 lines")
    took = time.monotonic() - begun

    assert browser_page.evaluate("window.find('009000 the')")
    selected = browser_page.evaluate(
        "getSelection().anchorNode.parentElement.closest('.log-line').id"
    )
    assert selected == "L9000"

    browser_page.goto(f"/runs/{run.id}#L9000")
    browser_page.reload()
    browser_page.wait_for_selector("#L9000.marked")
    expect_in_view(browser_page, "L9000")

    copied = browser_page.evaluate("""() => {
        getSelection().selectAllChildren(document.querySelector("[data-log=lines]"));
        return getSelection().toString();
    }""")
    assert copied == MIB.removesuffix("\n")
    assert took < 1.5 * crowding()


def test_hostile_output_stays_text(browser_page: Page, site: Site) -> None:
    output = [
        "<script>alert(1)</script><img src=x onerror=alert(2)>\n",
        "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ \x1b]0;owned\x07title\n",
        "\x1b[2J\x1b[1;31mred\x1b[38;5;46mgreen\x1b[48;2;0;0;255mblue\x1b[7mback\x1b[0mplain\n",
        "".join(f"\r{percent} %" for percent in range(101)) + "\r\n",
        "".join(f"\x1b[3{number % 8}m{number % 10}" for number in range(100_000)) + "\n",
        "x" * (1 << 20) + "\n",
        "\x1b[0mend",
    ]
    run = store_run(site, "".join(output))
    browser_page.add_init_script("""
        window.longest = 0;
        new PerformanceObserver(list => list.getEntries().forEach(entry =>
            { window.longest = Math.max(window.longest, entry.duration); }))
            .observe({ type: "longtask", buffered: true });
    """)
    browser_page.goto(f"/runs/{run.id}")
    browser_page.get_by_text("7 lines").wait_for()
    title = browser_page.title()

    shown = lines(browser_page)
    assert shown[0] == output[0]
    assert shown[1] == "link title\n"
    assert shown[2] == "redgreenbluebackplain\n"
    assert shown[3] == "100 %\n"
    assert shown[4].startswith("0123456789")
    assert "90,000 more" in shown[4]
    assert shown[5].startswith("xxx")
    assert "1,038,576 more characters" in shown[5]
    assert shown[6] == "end"
    assert "owned" not in title
    # The numbers of the lines are the only links, and nothing became an element.
    box = browser_page.locator("[data-log=lines]")
    expect(box.locator("a:not(.n), script, img")).to_have_count(0)
    styles = browser_page.eval_on_selector_all("#L3 span", "all => all.map(one => one.className)")
    assert styles == ["bold ink1", "bold ink10", "bold paper4", "bold paper10", ""][: len(styles)]

    # Not by the mouse, which waits until a frame of so many colours is drawn.
    browser_page.eval_on_selector("#L6 .fold", "button => button.click()")
    assert browser_page.eval_on_selector("#L6", "row => row.textContent.length") == (1 << 20) + 1
    browser_page.wait_for_timeout(100)
    assert browser_page.evaluate("window.longest") < 1000 * crowding()


def test_lines_are_linked_and_found(browser_page: Page, site: Site) -> None:
    run = store_run(site, "".join(f"line {number}\n" for number in range(1, 1001)))
    page = browser_page
    page.goto(f"/runs/{run.id}")
    page.get_by_text("1,000 lines").wait_for()

    page.click("#L990 .n")
    page.click("#L995 .n", modifiers=["Shift"])
    expect(page).to_have_url(re.compile("#L990-L995$"))
    page.reload()
    expect(page.locator(".log-line.marked")).to_have_count(6)

    page.fill("#log-find", "line 77")
    expect(page.locator("[data-log=hits]")).to_have_text("1/11")
    page.keyboard.press("Enter")
    expect(page.locator("[data-log=hits]")).to_have_text("2/11")
    expect_in_view(page, "L770")
    page.get_by_label("Previous hit").click()
    page.get_by_label("Previous hit").click()
    expect(page.locator("[data-log=hits]")).to_have_text("11/11")
    expect(page).to_have_url(re.compile(r"find=line\+77.*#L990-L995$"))
    page.reload()
    expect(page.locator("[data-log=hits]")).to_have_text("1/11")


def test_choices_last_and_stderr_stands_alone(browser_page: Page, site: Site) -> None:
    page, run = browser_page, store_run(site, "fine\n")
    write(site, run, ["broken\n"], first=1, stream="stderr")
    page.goto(f"/runs/{run.id}")
    page.wait_for_selector("#L2.err")

    page.get_by_role("button", name="Wrap").click()
    page.get_by_role("button", name="stderr only").click()
    expect(page.locator("#L1")).to_be_hidden()
    page.reload()
    page.wait_for_selector("#L2.err")
    expect(page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")


def test_of_a_huge_log_head_and_tail_are_shown(
    browser_page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WHOLE_CHARS", "HEAD_CHARS", "TAIL_CHARS"):
        monkeypatch.setattr(run_log, name, getattr(run_log, name) // 8)
    page, run = browser_page, store_run(site, MIB[: len(MIB) // 15_000 * 6_000])
    page.goto(f"/runs/{run.id}")
    button = page.get_by_text("lines between")
    button.wait_for()

    page.wait_for_selector("#L6000")
    count = page.locator(".log-line").count()
    left_out = int(button.inner_text().split()[2].replace(",", ""))
    assert 6_000 - 1 <= count + left_out <= 6_000 + 1
    expect(page.locator("#L6000")).to_have_text(re.compile("^006000 the quick"))
    # A link to a line in between shows it.
    page.goto(f"/runs/{run.id}#L2000")
    page.wait_for_selector("#L2000.marked")
    expect(page.locator("#L2000")).to_have_text(re.compile("^002000 the quick"))


def test_a_running_log_is_followed_until_its_end(browser_page: Page, site: Site) -> None:
    page, run = browser_page, store_run(site, state=RunState.RUNNING)
    with page.expect_response("**/log/stream*"):
        page.goto(f"/runs/{run.id}")
    write(site, run, ["first\nhalf"])
    page.wait_for_selector("#L2")
    write(site, run, [" a line\n" + "more\n" * 100], first=1)

    page.wait_for_selector("#L102")
    expect(page.locator("#L2")).to_have_text("half a line")
    expect_in_view(page, "L102")

    page.eval_on_selector("[data-log=lines]", "box => { box.scrollTop = 0; }")
    write(site, run, ["new\n" * 12], first=2)
    news = page.get_by_text("12 new lines ↓")
    news.wait_for()
    expect_in_view(page, "L1")
    news.click()
    expect_in_view(page, "L114")

    # Nobody looks: nothing is asked for until somebody does.
    page.evaluate(HIDE, True)
    write(site, run, ["later\n"], first=3)
    page.wait_for_timeout(1500)
    expect(page.locator("#L115")).to_have_count(0)
    page.evaluate(HIDE, False)
    page.wait_for_selector("#L115")

    finish(site, run)
    page.wait_for_selector("#log[data-over]")


@pytest.mark.nightly
def test_a_line_that_is_too_long_for_a_page_says_what_is_left_out(
    browser_page: Page, site: Site
) -> None:
    run = store_run(site, "x" * (128 * CHUNK + 5_000), state=RunState.RUNNING)
    browser_page.goto(f"{site.url}/runs/{run.id}?part=all")

    expect(browser_page.locator("#L1 .omitted")).to_contain_text(
        "5,000 characters of this line are left out here"
    )
    write(site, run, ["y" * 500, "\rdone\n"], first=129)
    expect(browser_page.locator("#log .log-line")).to_have_text(["done"])
    expect(browser_page.locator("#L1 .omitted")).to_have_count(0)


def test_while_a_run_writes_only_the_newest_lines_stay(
    browser_page: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "MOST_LINES", 500)
    page, run = browser_page, store_run(site, "old\n" * 400, state=RunState.RUNNING)
    page.goto(f"/runs/{run.id}")
    page.wait_for_selector("#L400")
    expect(page.locator("[data-log=early]")).to_be_hidden()
    # What somebody has selected stays in place.
    page.evaluate("() => getSelection().selectAllChildren(document.getElementById('L395'))")

    write(site, run, ["new\n" * 300], first=1)

    page.wait_for_selector("[data-log=early]")
    expect(page.locator(".log-line")).to_have_count(500)
    expect(page.locator(".log-line").first).to_have_id("L201")
    page.get_by_text("300 new lines").wait_for()
    expect_in_view(page, "L395")
    page.get_by_role("link", name="Load all that is kept").click()
    page.wait_for_selector("#L1")


def test_refused_streams_become_questions(
    browser_page: Page, site: Site, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.expected += ["503"]
    page, run = browser_page, store_run(site, "first\n", state=RunState.RUNNING)
    page.route("**/log/stream*", lambda route: route.fulfill(status=503, body=""))
    page.goto(f"/runs/{run.id}")
    with page.expect_response("**/log?*after=*"):
        write(site, run, ["second\n"], first=1)
    page.wait_for_selector("#L2")
    finish(site, run)
    page.wait_for_selector("#log[data-over]")


def test_a_log_ends_with_the_session(
    open_page: Callable[..., Page], site: Site, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    faults.expected += ["401", "EventSource's response"]
    monkeypatch.setattr(streams, "RIGHTS_SECONDS", 0.1)
    run = store_run(site, "first\n", state=RunState.RUNNING)
    with site.database.session() as session:
        person = sessions.known(session, site.secret)[1]
        assert person is not None
        person_id = person.id
        secret = sessions.start(session, person, Browser("127.0.0.1", ""), at=clock.now())
        session.commit()
    page = open_page(signed_in=False)
    sign_in(page.context, replace(site, secret=secret))
    with page.expect_response("**/log/stream*"):
        page.goto(f"/runs/{run.id}")

    with site.database.session() as session:
        row = sessions.known(session, secret)[0]
        assert row is not None
        with page.expect_response("**/log/stream*", timeout=5000 * crowding()) as refused:
            sessions.end(session, row.id, person_id, at=clock.now())
            session.commit()
    write(site, run, ["secret\n"], first=1)

    assert refused.value.status == 401
    page.wait_for_timeout(1500)
    expect(page.locator("#log .log-line")).to_have_text(["first"])


def test_without_script_the_end_of_a_log_is_plain(
    open_page: Callable[..., Page], site: Site
) -> None:
    run = store_run(site, "\x1b[31mred\x1b[0m <b>\n")
    page = open_page(script=False)
    page.goto(f"/runs/{run.id}")

    expect(page.locator(".log-plain")).to_have_text("red <b>")
    expect(page.locator("[data-log=bar]")).to_be_hidden()
    page.get_by_role("link", name="all of it").click()
    page.wait_for_url("**/log.txt?attempt=1")
    expect(page.locator("body")).to_contain_text("<b>")


@pytest.mark.nightly
def test_eight_followed_logs_leave_room_for_a_ninth_page(
    open_page: Callable[..., Page], site: Site
) -> None:
    run = store_run(site, "first\n", state=RunState.RUNNING)
    context = open_page().context
    pages = [context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(f"/runs/{run.id}")
        page.wait_for_selector("#L1")
    write(site, run, ["second\n"], first=1)
    for page in pages:
        page.wait_for_selector("#L2")

    ninth = context.new_page()
    begun = time.monotonic()
    ninth.goto("/jobs")
    assert time.monotonic() - begun < crowding()


#: Makes a page believe that its tab is hidden, or visible.
HIDE = """isHidden => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def expect_in_view(page: Page, line: str) -> None:
    """Wait until *line* is in the visible part of the log: the page scrolls in its next frame."""
    wait_until(lambda: page.evaluate(IS_IN_VIEW, line), f"{line} is in view")


IS_IN_VIEW = """line => {
    const row = document.getElementById(line).getBoundingClientRect();
    const box = document.querySelector("[data-log=lines]").getBoundingClientRect();
    return row.top >= box.top - 1 && row.bottom <= box.bottom + 1;
}"""

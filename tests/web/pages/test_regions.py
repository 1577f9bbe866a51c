"""Regions that are made once for all who see the same."""

import threading

from jobs_app.web.pages.regions import MOST_REGIONS, RegionCache


def test_a_region_is_made_once_a_second() -> None:
    now = [0.0]
    cache, texts = RegionCache(monotonic=lambda: now[0]), iter(["first", "second"])

    def get() -> str:
        return cache.get("key", lambda: next(texts)).html

    assert [get(), get()] == ["first", "first"]
    now[0] = 1.0
    assert get() == "second"


def test_others_wait_for_the_region_that_is_being_made() -> None:
    cache, begun, go_on = RegionCache(monotonic=lambda: 0.0), threading.Event(), threading.Event()
    made: list[str] = []

    def make() -> str:
        begun.set()
        go_on.wait(10)
        made.append("made")
        return "html"

    threads = [threading.Thread(target=cache.get, args=("key", make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert made == ["made"]


def test_an_error_is_not_kept() -> None:
    cache = RegionCache(monotonic=lambda: 0.0)

    def fail() -> str:
        raise RuntimeError

    for make in (fail, lambda: "html"):
        try:
            html = cache.get("key", make).html
        except RuntimeError:
            html = "error"
    assert html == "html"


def test_only_so_many_regions_are_kept() -> None:
    cache = RegionCache(monotonic=lambda: 0.0)
    for number in range(2 * MOST_REGIONS):
        cache.get(number, lambda: "html")

    assert len(cache._entries) == MOST_REGIONS

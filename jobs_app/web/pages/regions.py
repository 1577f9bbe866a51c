"""The polled part of a page, made once a second for all who see the same."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

#: How long a region serves everybody who asks for the same, seconds.
FRESH_SECONDS = 1.0

#: Most regions that are kept.
MOST_REGIONS = 200


@dataclass(frozen=True, slots=True)
class Region:
    """The HTML of a region, and the tag by which a browser tells whether it has changed."""

    html: str
    tag: str

    @classmethod
    def of(cls, html: str) -> "Region":
        """Return the region with this HTML."""
        return cls(html, hashlib.sha256(html.encode()).hexdigest()[:24])


@dataclass(slots=True)
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    region: Region | None = None
    until: float = 0.0


class RegionCache:
    """Regions by key; while one is made, others who ask for it wait for it."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[object, _Entry] = OrderedDict()

    def get(self, key: object, make: Callable[[], str]) -> Region:
        """Return the region of *key*, at most a second old; *make* returns its HTML."""
        entry = self._entry(key)
        with entry.lock:
            if entry.region is None or self._monotonic() >= entry.until:
                entry.region = Region.of(make())
                entry.until = self._monotonic() + FRESH_SECONDS
            return entry.region

    def _entry(self, key: object) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > MOST_REGIONS:
                self._entries.popitem(last=False)
            return entry

"""Gives the processes of pytest-xdist their tests one at a time."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController


class Turns(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Gives a process one test at a time, or all of a group.

    So none has a queue while the others have nothing left. A test that ends its process has
    failed, and is not tried again.
    """

    def __init__(self, config: pytest.Config, group: Callable[[str], str | None]) -> None:
        super().__init__(config, Producer("turns", enabled=config.option.debug))
        self._group = group

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """Note that a test has ended, and forget a turn that is over: all are counted each time."""
        scope = self._split_scope(self.registered_collections[node][item_index])
        super().mark_test_complete(node, item_index, duration)
        if not self._pending_of({scope: self.assigned_work[node][scope]}):
            del self.assigned_work[node][scope]

    def remove_node(self, node: WorkerController) -> str | None:
        """Give the tests of a process that has ended to others; return the one that ended it."""
        left = {
            scope: tests
            for scope, tests in self.assigned_work.pop(node).items()
            if self._pending_of({scope: tests})
        }
        running = next((t for tests in left.values() for t in tests if not tests[t]), None)
        for scope, tests in left.items():
            if running in tests:
                tests[running] = True
            # A process that was given nothing would never ask again.
            if self._pending_of({scope: tests}):
                self.workqueue[scope] = tests
        for other in self.nodes:
            self._reschedule(other)
        return running

    def _reschedule(self, node: WorkerController) -> None:
        # One that took the place of another may not have collected its tests yet.
        if node not in self.registered_collections:
            return
        # One that has ended gets no more; what it was given goes to others once that is known.
        with suppress(OSError):
            super()._reschedule(node)
            # A process begins a test once it knows the next, or that there is none.
            while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
                super()._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        return self._group(nodeid) or nodeid

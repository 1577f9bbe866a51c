"""RedBeat's lock, taken and extended by one command that may be repeated."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any
from uuid import uuid4

#: redis-py's own lock forgets its token if the answer to its SET is lost. Nobody could extend
#: or release that lock, so no scheduler would be active until it expires.
TAKE = """
local owner = redis.call('get', KEYS[1])
if owner == ARGV[1] then
    redis.call('pexpire', KEYS[1], ARGV[2])
    return 'kept'
end
if owner then
    return 'refused'
end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 'taken'
"""

RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('del', KEYS[1])
end
return 0
"""


class Taking(StrEnum):
    """The result of an attempt to take the lock."""

    TAKEN = "taken"
    KEPT = "kept"
    REFUSED = "refused"


class SchedulerLock:
    """The lock of one scheduler; the server ends it *seconds* after it was last taken.

    Its key is RedBeat's, and so are its rules: whoever sets the key holds the lock.
    """

    def __init__(self, redis: Any, key: str, *, seconds: float) -> None:
        self._key = key
        self._milliseconds = int(seconds * 1000)
        self._token = uuid4().hex
        self._take: Callable[..., str] = redis.register_script(TAKE)
        self._release: Callable[..., int] = redis.register_script(RELEASE)

    def take(self) -> Taking:
        """Take the lock, or keep it for its full time again; raises the errors of redis-py.

        TAKEN also if it was ours and has expired meanwhile.
        """
        return Taking(self._take(keys=[self._key], args=[self._token, self._milliseconds]))

    def release(self) -> None:
        """Release the lock if it is ours."""
        self._release(keys=[self._key], args=[self._token])

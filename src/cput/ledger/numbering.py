"""Numbers a call's attempts 0, 1, 2, ... whoever makes them: a retry, a cascade's second leg, a resumed process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

KEPT_CALLS = 16_384


class AttemptNumbers:
    """Hands out ``seq`` per call id from memory, and asks ``on_disk`` only where memory cannot know.

    Memory keeps the last ``kept`` calls. A call id that is not there is new when its UUIDv7 was made after the newest
    forgotten call was last seen (or after this ledger was opened); any other may have attempts on disk.
    """

    def __init__(self, on_disk: Callable[[str], int], kept: int = KEPT_CALLS) -> None:
        """``on_disk(call_id)`` returns the first free number according to the store."""
        self._on_disk = on_disk
        self._kept = kept
        self._next: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._horizon_s = time.time()
        self._lock = threading.Lock()

    def take(self, call_id: str) -> int:
        """Return the next free number of this call; the first is 0."""
        with self._lock:
            known = self._next.pop(call_id, None)
            if known is not None:
                seq = known[0]
            else:
                seq = 0 if _made_after(call_id, self._horizon_s) else self._on_disk(call_id)
            self._next[call_id] = (seq + 1, time.time())
            if len(self._next) > self._kept:
                _, (_, seen_s) = self._next.popitem(last=False)
                self._horizon_s = max(self._horizon_s, seen_s)
            return seq


def _made_after(call_id: str, moment_s: float) -> bool:
    """Whether ``call_id`` is a UUIDv7 whose millisecond (RFC 9562, first 48 bits) is later than ``moment_s``."""
    if len(call_id) != 36 or call_id[14] != "7":
        return False
    try:
        return int(call_id[:8] + call_id[9:13], 16) > moment_s * 1000
    except ValueError:
        return False

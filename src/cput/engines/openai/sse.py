"""Server-sent events from bytes that arrive in any pieces (WHATWG HTML, "9.2.6 Interpreting an event stream").

Lines end in LF, CR or CRLF; ``data`` lines of one event are joined by LF; comments and other fields carry no data. An
event that the stream's end cuts off is dropped, as the standard says: half an event is not an event.
"""

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):  # noqa: N818  # reads as the sentence it stands for
    """An event is longer than the reader allows."""


class EventReader:
    """Feed it bytes; it gives the data of each whole event.

    >>> EventReader().feed(b": hi" + bytes([10]) + b"data: 1" + bytes([13, 10, 13, 10]))
    [b'1']
    """

    def __init__(self, max_bytes: int = 1 << 24) -> None:
        """``max_bytes`` is the most that one event may hold."""
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take in bytes; return the events that they complete.

        Raises:
            EventTooLong: more than ``max_bytes`` without an event's end.
        """
        self._rest += chunk
        events: list[bytes] = []
        begin = 0
        for match in _LINE_END.finditer(self._rest, self._scanned):
            if match[0] == b"\r" and match.end() == len(self._rest):
                break  # perhaps the first half of a CRLF
            self._line(bytes(self._rest[begin : match.start()]), events)
            begin = match.end()
        del self._rest[:begin]
        self._scanned = max(0, len(self._rest) - 1)
        if self._size + len(self._rest) > self._max_bytes:
            raise EventTooLong(f"an event is longer than {self._max_bytes:,} bytes")
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if self._first:
            self._first, line = False, line.removeprefix(BOM)
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
            self._data, self._size = [], 0
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)

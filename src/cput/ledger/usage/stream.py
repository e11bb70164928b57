"""One ``Usage`` from the events of a stream.

    merged = Merged()
    for event in events:
        merged.take(event)
    merged.usage()

Providers send counts that grow, in pieces: Anthropic the input in ``message_start`` and the output in
``message_delta``, Gemini all of it with every chunk, OpenAI all of it in a chunk after the last token. Every field's
greatest value is kept, so that an event that comes twice or repeats an earlier count changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cput.ledger.usage.locate import usage_object
from cput.ledger.usage.normalise import usage_of
from cput.ledger.usage.shape import Shape
from cput.records import Usage

LAST_TYPES = frozenset({"message_stop", "message-end", "response.completed", "response.incomplete", "response.done"})


def merge(chunks: Iterable[Mapping[str, Any]], *, shape: Shape | str | None = None, ended: bool | None = None) -> Usage:
    """Return the usage of a whole stream, see ``Merged``.

    Raises:
        InputError: a chunk, or its usage, is not an object, or a count is none.
    """
    merged = Merged(shape=shape)
    for chunk in chunks:
        merged.take(chunk)
    return merged.usage(ended=ended)


class Merged:
    """The counts of the events so far."""

    def __init__(self, *, shape: Shape | str | None = None, tells_end: bool = True) -> None:
        """``shape`` is how the events write usage; None tells it by their fields.

        ``tells_end`` False is for a caller that knows when the stream has ended, and says so to ``usage``.
        """
        self._shape = shape
        self._tells_end = tells_end
        self._usage: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}
        self._ended = False

    @property
    def counted(self) -> bool:
        """True once an event has said any usage."""
        return bool(self._usage)

    def take(self, chunk: Mapping[str, Any]) -> None:
        """Take in an event, in any order.

        Raises:
            InputError: the chunk, or its usage, is not an object.
        """
        usage = usage_object(chunk)
        self._ended = self._ended or (self._tells_end and is_last(chunk))
        if usage is None:
            return
        _grow(self._usage, usage)
        timings = chunk.get("timings")
        if isinstance(timings, Mapping):
            _grow(self._timings, timings)

    def usage(self, *, ended: bool | None = None) -> Usage:
        """Return the usage so far; not complete before the stream's end (``ended``; None: as the events said).

        Raises:
            InputError: a count is none, or the shape is unknown.
        """
        if not self._usage:
            return Usage()
        usage = usage_of({"usage": self._usage, "timings": self._timings}, shape=self._shape)
        final = self._ended if ended is None else ended
        return usage if final else replace(usage, complete=False)


def is_last(chunk: Mapping[str, Any]) -> bool:
    """Tell whether an event says that nothing more will be generated; the counts may come with it or after it."""
    kind = chunk.get("type")
    if (isinstance(kind, str) and kind in LAST_TYPES) or "messageStop" in chunk:
        return True
    if chunk.get("done") is True or chunk.get("stop") is True:  # Ollama, llama-server
        return True
    for name in ("choices", "candidates", "meta_info", "delta", "output"):
        place = chunk.get(name)
        if place and (_finished(place) or (name == "output" and _finished(place, "choices"))):  # DashScope nests them
            return True
    return False


def _finished(place: Any, inner: str | None = None) -> bool:
    """Tell whether an object, or the first of a list, has a reason why it ended."""
    if inner is not None:
        place = place.get(inner) if isinstance(place, Mapping) else None
    node = place[0] if isinstance(place, list) and place else place
    if not isinstance(node, Mapping):
        return False
    reason = node.get("finish_reason") or node.get("finishReason") or node.get("stop_reason")
    return isinstance(reason, str | Mapping) and reason not in ("", "null")


def _grow(into: dict[str, Any], found: Mapping[str, Any]) -> None:
    """Keep every field's greatest number; objects are merged, anything else is replaced; null says nothing."""
    for name, value in found.items():
        held = into.get(name)
        if isinstance(value, Mapping):
            into[name] = dict(held) if isinstance(held, Mapping) else {}
            _grow(into[name], value)
        elif value is not None and not (_is_number(value) and _is_number(held) and held >= value):
            into[name] = value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

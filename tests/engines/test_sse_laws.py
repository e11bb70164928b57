"""Any bytes, in any pieces: the events are those of the standard's own reading, and nothing is raised but one thing."""

import contextlib
import re

from hypothesis import example, given
from hypothesis import strategies as st

from cput.engines.openai.sse import BOM, EventReader, EventTooLong

PARTS = [b"data", b"data:", b"data: ", b"event: x", b"id: 1", b": ping", b"retry: 5", b"\n", b"\r", b"\r\n", b"\n\n",
         b"\r\r", b"\r\n\r\n", b"\0", BOM, b"\xff\xfe", b"\xed\xa0\x80", "né".encode(), b"x", b" ", b":", b"[DONE]"]  # fmt: skip
streams = st.lists(st.sampled_from(PARTS) | st.binary(max_size=4), max_size=40).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=20)


def standard(data):
    """Read a whole stream as "9.2.6 Interpreting an event stream" says; its unended last line and event do not count."""
    if data.endswith(b"\r"):
        data = data[:-1]  # perhaps half of a line's end
    *lines, _ = re.split(rb"\r\n|\n|\r", data.removeprefix(BOM))
    events, held = [], []
    for line in lines:
        if not line:
            events += [b"\n".join(held)] if held else []
            held = []
        name, _, value = line.partition(b":")
        if line and name == b"data":
            held.append(value[1:] if value.startswith(b" ") else value)
    return events


def read(chunks, **options):
    reader = EventReader(**options)
    return [event for chunk in chunks for event in reader.feed(chunk)]


def split(data, at):
    at = sorted({cut for cut in at if cut < len(data)})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


@given(streams, cuts)
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 9, 10, 11])
@example(b"data: a\r\rdata: b\r\r\n", [8, 9])
def test_any_bytes_in_any_pieces_are_the_standards_events(data, at):
    assert read(split(data, at)) == read([data]) == standard(data)


@given(streams)
def test_one_byte_at_a_time_is_the_same(data):
    assert read([data[at : at + 1] for at in range(len(data))]) == standard(data)


@given(streams)
def test_empty_pieces_are_nothing(data):
    assert read([b"", data, b"", b""]) == standard(data)


@given(st.lists(streams, max_size=6), st.integers(0, 60))
def test_only_too_much_is_refused_and_what_is_held_is_bounded(chunks, most):
    reader = EventReader(most)
    with contextlib.suppress(EventTooLong):
        for chunk in chunks:
            events = reader.feed(chunk)
            assert all(isinstance(event, bytes) for event in events)
            assert len(reader._rest) + sum(map(len, reader._data)) <= most + len(reader._data)

"""Events are the same however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cput.engines.openai.sse import EventReader, EventTooLong


def read(chunks, **options):
    reader = EventReader(**options)
    return [event for chunk in chunks for event in reader.feed(chunk)]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
events = st.lists(st.lists(texts, min_size=1, max_size=3), max_size=5)


@given(events, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_borders_between_chunks_and_the_kind_of_line_end_change_nothing(events, end, cuts, comments):
    stream = ""
    for lines in events:
        stream += f": ping{end}event: x{end}id: 4{end}" if comments else ""
        stream += "".join(f"data: {line}{end}" for line in lines) + end
    data = stream.encode() + b"data: tail"  # holds a bare CR's reader to nothing: the next byte has come
    cuts = sorted(cut for cut in cuts if cut < len(data))
    chunks = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert read(chunks) == ["\n".join(lines).encode() for lines in events]


def test_one_space_after_the_colon_is_not_data():
    assert read([b"data:a\n\ndata: b\n\ndata:  c\n\ndata\n\n"]) == [b"a", b"b", b" c", b""]


def test_a_byte_order_mark_is_skipped():
    assert read([b"\xef\xbb\xbfdata: a\n\n"]) == [b"a"]


def test_an_event_that_the_end_cuts_off_is_dropped():
    assert read([b"data: a\n\ndata: half\n"]) == [b"a"]


@pytest.mark.parametrize("line", [b"x" * 300, b"data: " + b"x" * 40 + b"\n"], ids=["one line", "many lines"])
def test_an_endless_event_is_refused_and_not_kept(line):
    with pytest.raises(EventTooLong, match="longer than 100 bytes"):
        read([line] * 5, max_bytes=100)

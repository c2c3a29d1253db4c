from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects.sse import CR, Event, Events

STREAMS = [
    b'data: {"a":1}\n\ndata: {"b":2}\n\n',
    b"data: one\r\n\r\ndata: two\r\n\r\n",
    b"data: one\r\rdata: two\r\r",
    b"data: one\n\r\ndata: two\r\n\ndata: three\r\r\n",
    b"\xef\xbb\xbfdata: one\n\n: comment\n\n\n\n\nevent: x\nid: 7\ndata: a\ndata:b\ndata\n\n",
    "data: grüße €𝄞\n\ndata: 終\n\n".encode(),
    b": only comments\n\n: and more\n\n",
    b"data: no end",
    b"data: half an end\n",
    b"data: half an end\r",
    b"data: a\n\ndata: waiting\r\r",
    b"\n\r\n\r\r\n",
    b"",
]


def read(parts: list[bytes]) -> list[Event]:
    """The events of a stream, whether one that comes alone is known by that or not."""
    return agreed(fed(parts, alone=True), fed(parts, alone=False))


def fed(parts: list[bytes], alone: bool) -> list[Event]:
    events = Events()
    found: list[Event] = []
    for part in parts:
        if alone and not events.rest and CR not in part and (known := events.whole(part)):
            found.append((part, known[1], ""))
        else:
            found += events.feed(part)
    last = events.end()
    return [*found, last] if last else found


def agreed(one: list[Event], other: list[Event]) -> list[Event]:
    assert one == other
    return one


def partitions(data: bytes) -> st.SearchStrategy[list[bytes]]:
    cuts = st.lists(st.integers(0, len(data)), max_size=12).map(sorted)
    return cuts.map(lambda at: [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)])


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same_events(data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from(STREAMS))
    assert read(data.draw(partitions(stream))) == read([stream])


def test_an_event_of_one_line_that_comes_alone_is_known() -> None:
    known = Events().whole(b"data: x\n\n")
    assert known is not None
    assert known[1] == b"x"
    for other in (
        b"data: x\n",
        b"data: x\n\n\n",
        b"data: x\n\ndata: y\n\n",
        b"data: x\r\n\n\n",
        b"data:x\n\n",
        b"",
    ):
        assert Events().whole(other) is None


@given(st.data())
def test_any_split_of_any_bytes_gives_the_same_events(data: st.DataObject) -> None:
    stream = b"".join(data.draw(st.lists(st.sampled_from([b"\r", b"\n", b":", b"data: ", b"x"]), max_size=24)))
    assert read(data.draw(partitions(stream))) == read([stream])


@pytest.mark.parametrize("stream", STREAMS)
def test_byte_by_byte_is_as_good_as_in_one_piece(stream: bytes) -> None:
    assert read([stream[at : at + 1] for at in range(len(stream))]) == read([stream])


@pytest.mark.parametrize("stream", STREAMS)
def test_the_raw_bytes_are_those_that_came(stream: bytes) -> None:
    together = b"".join(raw for raw, _, _ in read([stream]))
    assert together.startswith(stream)
    assert together[len(stream) :] in (b"", b"\n", b"\n\n")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_every_line_end_of_the_grammar_ends_an_event(end: bytes) -> None:
    assert [data for _, data, _ in read([b"data: one" + end + b"data: two" + end])] == [b"one", b"two"]


def test_lines_of_data_are_joined_and_one_space_is_stripped() -> None:
    assert read([b"data:  a\ndata:b\ndata\n\n"])[0][1] == b" a\nb\n"


def test_a_name_is_read_and_other_fields_are_not() -> None:
    assert read([b"event: error\nid: 3\nretry: 5\nfoo: bar\ndata: x\n\n"])[0][1:] == (b"x", "error")


def test_comments_and_blank_lines_are_events_without_data() -> None:
    assert [data for _, data, _ in read([b": ping\n\n\n\ndata: x\n\n"])] == [None, None, b"x"]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert read([b"\xef\xbb\xbfdata: x\n\n"])[0][1] == b"x"


def test_an_event_is_given_as_soon_as_its_end_came() -> None:
    events = Events()
    assert events.feed(b"data: x\n") == []
    assert [data for _, data, _ in events.feed(b"\nda")] == [b"x"]


def test_what_stands_at_the_end_without_a_blank_line_is_an_event() -> None:
    assert read([b"data: a\n\ndata: b"])[-1] == (b"data: b\n\n", b"b", "")
    assert read([b"data: b\n"])[-1] == (b"data: b\n\n", b"b", "")


def test_an_event_past_the_limit_ends_the_reading() -> None:
    events = Events(limit=20)
    assert len(events.feed(b"data: short\n\n" + b"x" * 21)) == 1
    assert events.overflown
    assert events.feed(b"\n\ndata: more\n\n") == []
    assert events.end() is None


def test_many_short_events_are_not_past_the_limit() -> None:
    events = Events(limit=20)
    assert len(events.feed(b"data: short\n\n" * 100)) == 100
    assert not events.overflown


def test_a_long_event_in_small_pieces_takes_linear_time() -> None:
    events = Events()
    for _ in range(20_000):
        assert events.feed(b"x" * 100) == []
    assert len(events.feed(b"\n\n")) == 1

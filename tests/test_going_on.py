"""An answer that broke off, and that another upstream went on with, is read by its client as if it were one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.dialects import builtin
from llmrouter.dialects.common import raw
from llmrouter.engine.rescue import Rescue, Said
from llmrouter.protocols import Dialect, Writer
from llmrouter.types import (
    Begin,
    Event,
    Facts,
    Fields,
    Finish,
    Frame,
    Request,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
    Wire,
)

CHATS = [one for one in builtin() if "chat" in one.ops and one.name != "openai.completions"]
ELSEWHERE = Wire("somebody.else", stream=True)
TOKENS = (10, 20)
"""That the second upstream reports: input and output."""

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
arguments = st.dictionaries(words, st.one_of(words, st.integers(-9, 9), st.none()), max_size=2)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """A thought, and then texts and calls in any order; at least one text."""
    said: list[Event] = [Thought(one) for one in draw(st.lists(words, max_size=2))]
    kinds = draw(st.lists(st.sampled_from(["text", "call"]), max_size=4))
    kinds.insert(draw(st.integers(0, len(kinds))), "text")
    for number, kind in enumerate(kinds):
        if kind == "text":
            said.append(Text(draw(words)))
        else:
            said += [
                ToolStart(f"call_{number}", "weather"),
                ToolArgs(f"call_{number}", json.dumps(draw(arguments))),
            ]
    return said


def writer_of(dialect: Dialect, id: str) -> Writer:
    asked = {"stream": True, "stream_options": {"include_usage": True}, "thinking": {"type": "adaptive"}}
    fields: Fields = {"model": raw("m")} | {name: raw(value) for name, value in asked.items()}
    return dialect.writer(Request(Facts(id=id, wire=Wire(dialect.name, True), asked="m"), fields))


def written(writer: Writer, events: Sequence[Event]) -> bytes:
    return b"".join([writer.write(Frame(ELSEWHERE, b"", (event,)), False) for event in events]) + writer.end()


def read(dialect: Dialect, data: bytes) -> list[Frame]:
    reader = dialect.reader("chat", True)
    return [*reader.feed(data), *reader.end()]


def pieces(events: Sequence[Event], size: int) -> list[Event]:
    """The same, in other pieces, and with other ids."""
    found: list[Event] = []
    for event in events:
        match event:
            case Text(text):
                found += [Text(text[at : at + size]) for at in range(0, len(text), size)]
            case ToolStart(id, name):
                found.append(ToolStart(f"other_{id}", name))
            case ToolArgs(id, said):
                found += [ToolArgs(f"other_{id}", said[at : at + size]) for at in range(0, len(said), size)]
            case _:
                found.append(event)
    return found


def told(events: Sequence[Event]) -> tuple[str, list[tuple[str, object]], str, tuple[int, int]]:
    calls: dict[str, list[str]] = {}
    usage, reasons = Usage(), []
    for event in events:
        match event:
            case ToolStart(id, name):
                assert id not in calls
                calls[id] = [name, ""]
            case ToolArgs(id, said):
                calls[id][1] += said
            case Spent(spent):
                usage = spent
            case Finish(reason):
                reasons.append(reason)
    text = "".join([event.text for event in events if isinstance(event, Text)])
    [reason] = reasons
    return (
        text,
        [(name, json.loads(said)) for name, said in calls.values()],
        reason,
        (usage.prompt, usage.completion),
    )


def cuts(frames: Sequence[Frame]) -> list[int]:
    """Where it may break off and be gone on with: before it is finished, and not inside a call."""
    heard, places = Said(), []
    for place, frame in enumerate(frames):
        heard.take(frame.events)
        if any(isinstance(event, Finish) for event in frame.events):
            break
        if heard.can_go_on:
            places.append(place + 1)
    return places


@pytest.mark.parametrize("verbatim", [False, True], ids=["encoded", "verbatim"])
@pytest.mark.parametrize("dialect", CHATS, ids=lambda one: one.name)
@settings(deadline=None)
@given(said=answers(), cut=st.integers(0, 99), size=st.integers(1, 30))
def test_two_halves_of_an_answer_are_one(
    dialect: Dialect, verbatim: bool, said: list[Event], cut: int, size: int
) -> None:
    finish = Finish("tool_calls" if any(isinstance(event, ToolStart) for event in said) else "stop")
    first: list[Event] = [Begin("first", "m"), *said, Spent(Usage(input=1, output=2)), finish]
    frames = [Frame(ELSEWHERE, b"", (event,)) for event in first]
    if verbatim:
        frames = read(dialect, written(writer_of(dialect, "req_up"), first))
    whole = [event for frame in frames for event in frame.events]
    places = cuts(frames)
    begun = frames[: places[cut % len(places)]]
    writer, heard = writer_of(dialect, "req_1"), Said()
    data = b"".join([writer.write(frame, verbatim) for frame in begun])
    heard.take([event for frame in begun for event in frame.events])
    again = [event for event in pieces(whole, size) if not isinstance(event, Begin | Spent)]
    second = [Begin("second", "n"), Spent(Usage(input=TOKENS[0], output=TOKENS[1])), *again]
    rest = Rescue(heard).passed([Frame(ELSEWHERE, b"", (event,)) for event in second])
    data += b"".join([writer.write(frame, False) for frame in rest]) + writer.end()
    found = [event for frame in read(dialect, data) for event in frame.events]
    text, calls, reason, _ = told(whole)
    assert told(found) == (text, calls, reason, TOKENS)
    assert sum(isinstance(event, Begin) for event in found) == 1

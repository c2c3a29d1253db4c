"""What all dialects share: signatures, kept turns, fitted names, efforts, folded answers."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects.common import loads
from llmrouter.dialects.fold import Fold
from llmrouter.dialects.noting import Noted, gathered, name_of, recalled
from llmrouter.dialects.renaming import Renamed, fitted
from llmrouter.dialects.signatures import tagged, untagged
from llmrouter.dialects.thinking import effort_of
from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Frame,
    Keep,
    Refusal,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolStart,
    Usage,
    Wire,
)

UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
WIRE = Wire("a", True)

# ---- signatures


@pytest.mark.parametrize("source", ["anthropic.messages", "gemini.generate"])
def test_a_signature_comes_back_with_the_dialect_it_belongs_to(source: str) -> None:
    stands = tagged("c2ln#x", source, "anthropic.messages")
    assert (stands == "c2ln#x") is (source == "anthropic.messages")
    assert untagged(stands, "anthropic.messages") == ("c2ln#x", source)


def test_no_signature_belongs_to_nobody() -> None:
    assert tagged("", "gemini.generate", "openai.chat") == ""
    assert untagged("", "openai.chat") == ("", "")


# ---- kept turns


class Told:
    """A meaning that says what it is given, event by event."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def event(self, data: bytes, name: str) -> tuple[Event, ...]:
        return (self._events[int(data)],)

    def body(self, data: bytes) -> tuple[Event, ...]:
        return self._events

    def done(self) -> tuple[Event, ...]:
        return (Finish("stop"),)


TURN = (Thought("I "), Thought("see"), Thought("", "sig"), ToolStart("c1", "f", "s1"), ToolStart("c2", "g"))


def kept(events: list[Event]) -> list[Keep]:
    return [event for event in events if isinstance(event, Keep)]


def test_a_turn_that_called_tools_is_kept_under_its_first_call() -> None:
    noted = Noted("gemini.generate", Told(*TURN, Finish("tool_calls")))
    events = [event for at in range(6) for event in noted.event(str(at).encode(), "")]
    (keep,) = kept(events)
    assert keep.name == name_of("c1", {})
    turn = recalled({keep.name: keep.value}, keep.name, "gemini.generate")
    assert turn is not None
    assert (turn.thoughts, turn.signatures) == ((Thought("I see", "sig"),), {"c1": "s1"})
    assert recalled({keep.name: keep.value}, keep.name, "anthropic.messages") is None
    assert recalled({}, keep.name, "gemini.generate") is None
    whole = Noted("gemini.generate", Told(*TURN, Finish("tool_calls"))).body(b"")
    assert kept(list(whole)) == [keep]


def test_turns_of_two_conversations_whose_calls_have_the_same_id_are_two() -> None:
    def name(arguments: str) -> str:
        said = (Thought("hm"), ToolStart("f:0", "f"), ToolArgs("f:0", arguments), Finish("tool_calls"))
        (keep,) = kept(list(Noted("openai.chat", Told(*said)).body(b"")))
        return keep.name

    assert name('{"city": "Oslo"}') != name('{"city": "Bergen"}')


def test_clients_may_write_arguments_in_their_own_way() -> None:
    assert name_of("c", {"a": 1.0, "b": [2.50, "1.0"]}) == name_of("c", {"b": [2.5, "1.0"], "a": 1})
    assert name_of("c", {"a": 1}) != name_of("c", {"a": "1"})


@pytest.mark.parametrize("said", [(Thought("I see"),), (ToolStart("c1", "f"),), (Text("x"),)])
def test_a_turn_that_nobody_demands_back_is_not_kept(said: tuple[Event, ...]) -> None:
    noted = Noted("openai.chat", Told(*said, Finish("stop")))
    assert kept(list(noted.body(b""))) == []
    assert list(noted.done()) == [Finish("stop")]


def test_fragments_become_whole_thoughts() -> None:
    secret = Thought("", "opaque", redacted=True)
    found = gathered([Thought("a"), Thought("b"), secret, Thought("c"), Thought("", "s"), Thought("d")])
    assert found == (Thought("ab"), secret, Thought("c", "s"), Thought("d"))
    assert gathered([Thought("")]) == ()


# ---- names


@given(st.lists(st.text(min_size=1, max_size=12), max_size=8), st.integers(8, 12))
def test_every_name_fits_and_stays_its_own(names: list[str], most: int) -> None:
    changed = fitted(names, UNFIT, most)
    known = {changed.get(name, name) for name in names}
    assert len(known) == len(set(names))
    assert all(not UNFIT.search(name) and 0 < len(name) <= most for name in known)


def test_names_come_home_as_the_client_knows_them() -> None:
    class Upstream:
        def feed(self, data: bytes) -> list[Frame]:
            return [
                Frame(WIRE, data, (Text("x"),)),
                Frame(WIRE, data, (ToolStart("c", "a_b"), ToolArgs("c", "{}"))),
            ]

        def end(self) -> list[Frame]:
            return [Frame(WIRE, b"", (ToolStart("d", "other"),))]

    renamed = Renamed(Upstream(), {"a_b": "a.b"})
    assert [frame.events for frame in (*renamed.feed(b"1"), *renamed.end())] == [
        (Text("x"),),
        (ToolStart("c", "a.b"), ToolArgs("c", "{}")),
        (ToolStart("d", "other"),),
    ]


# ---- efforts


@pytest.mark.parametrize(
    ("options", "effort"),
    [
        ({}, None),
        ({"effort": "low"}, "low"),
        ({"thinking_budget": 0}, "none"),
        ({"thinking_budget": 1025}, "medium"),
        ({"thinking_budget": 10**6}, "max"),
        ({"thinking_budget": -1}, None),
        ({"effort": "high", "thinking_budget": 9}, "high"),
        ({"effort": "a vendor's own"}, "a vendor's own"),
    ],
)
def test_a_budget_is_said_as_an_effort(options: dict[str, object], effort: str | None) -> None:
    assert effort_of(options) == effort


# ---- folding


def test_a_stream_is_folded_in_its_order() -> None:
    fold = Fold()
    said: tuple[Event, ...] = (
        Begin("a", "m"), Begin("b", "n"), Thought("t"), Thought("", "s"), Text("x"), Text("y"),
        ToolStart("c", "f", "z"), ToolStart("c", "f"), ToolArgs("c", '{"a"'), ToolArgs("c", ":1}"),
        ToolArgs("lost", "{}"), Text(""), Text("w"), ToolStart("d", "g"), Refusal("no"),
        Spent(Usage(input=1)), Spent(Usage(input=2)), Finish("tool_calls"),
    )  # fmt: skip
    for event in said:
        fold.add(event)
    assert fold.parts() == [
        Thought("t", "s"),
        Text("xy"),
        ToolCall("c", "f", '{"a":1}', "z"),
        Text("w"),
        ToolCall("d", "g", "{}"),
        Refusal("no"),
    ]
    assert (fold.text, fold.thought, fold.refusal) == ("xyw", "t", "no")
    assert (fold.begin, fold.usage, fold.reason) == (Begin("a", "m"), Usage(input=2), "tool_calls")


def test_a_kept_turn_is_plain_json() -> None:
    (keep,) = kept(list(Noted("d", Told(*TURN, Finish("tool_calls"))).body(b"")))
    assert loads(keep.value)["source"] == "d"
    assert msgspec.json.decode(keep.value)["signatures"] == {"c1": "s1"}

"""Text in flow is known by the shape of its chunks, and means what it would mean to those who look closely."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects.noting import Noted
from llmrouter.dialects.openai_answers import AnswerMeaning
from llmrouter.dialects.openai_flow import Flow
from llmrouter.types import Begin, Event, Fault, Finish, Text

NAME = "openai.chat"
CALL = {"function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 3}
PIECES: Sequence[Any] = (None, "", "x", [], {}, 0, 1, False, [{"type": "text", "text": "t"}], [CALL], CALL, USAGE)
"""What may stand anywhere, in its place or out of it."""


class Close:
    """A meaning that looks closely, and counts how often it is asked to."""

    def __init__(self, answer: AnswerMeaning) -> None:
        self._noted = Noted(NAME, answer)
        self.asked = 0

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        self.asked += 1
        return self._noted.event(data, name)

    def body(self, data: bytes) -> Sequence[Event]:
        return self._noted.body(data)

    def done(self) -> Sequence[Event]:
        return self._noted.done()


def flow() -> tuple[Flow, Close]:
    answer = AnswerMeaning()
    close = Close(answer)
    return Flow(answer, close), close


def chunk(said: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": said}, "finish_reason": None}
    return json.dumps({"id": "a", "model": "m", "choices": [choice]} | more).encode()


def events(meaning: Any, data: bytes, name: str = "") -> list[Event] | str:
    """The events, or what kind of error there was instead."""
    try:
        return list(meaning.event(data, name))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        return type(error).__name__


def test_text_that_follows_on_text_is_not_looked_at_closely() -> None:
    meaning, close = flow()
    assert events(meaning, chunk("a")) == [Begin("a", "m"), Text("a")]
    assert events(meaning, chunk("b")) == [Text("b")]
    asked = close.asked
    assert [events(meaning, chunk(said)) for said in ("c", "", "d")] == [[Text("c")], [], [Text("d")]]
    assert close.asked == asked


@pytest.mark.parametrize(
    "other",
    [
        chunk(choices=[]),
        chunk("x", usage=USAGE),
        chunk("x", error={"message": "m"}),
        chunk("x", x_groq={"usage": USAGE}),
        chunk(None),
        chunk([{"type": "text", "text": "x"}]),
        chunk("x", choices=[{"delta": {"content": "x"}, "index": 1}]),
        chunk("x", choices=[{"delta": {"content": "x"}, "finish_reason": "stop"}]),
        chunk("x", choices=[{"delta": {"content": "x"}, "finish_reason": ""}]),
        chunk("x", choices=[{"delta": {"content": "x"}, "message": 1}]),
        chunk("x", choices=[{"delta": {"content": "x"}, "usage": USAGE}]),
        chunk("x", choices=[{"delta": {"content": "x", "reasoning": "r"}}]),
        chunk("x", choices=[{"delta": {"content": "x", "tool_calls": [CALL]}}]),
        chunk("x", choices=[{"delta": {"content": "x"}}, {"delta": {"content": "y"}, "index": 1}]),
        b"[DONE]",
        b'{"choices":',
    ],
)
def test_all_else_is_looked_at_closely(other: bytes) -> None:
    meaning, close = flow()
    for said in ("a", "b"):
        meaning.event(chunk(said), "")
    asked = close.asked
    events(meaning, other)
    assert close.asked == asked + 1


def test_a_named_event_is_looked_at_closely() -> None:
    meaning, _ = flow()
    for said in ("a", "b"):
        meaning.event(chunk(said), "")
    assert events(meaning, chunk("c"), "error") == [Fault(chunk("c"))]


def test_text_of_another_choice_does_not_begin_the_flow() -> None:
    meaning, _ = flow()
    other = {"index": 1, "delta": {"content": "x"}}
    for _ in range(3):
        meaning.event(chunk(choices=[other]), "")
    meaning.event(chunk("a"), "")
    assert events(meaning, chunk(choices=[other | {"finish_reason": "stop"}])) == [Text("")]
    assert events(meaning, chunk(choices=[{"delta": {}, "finish_reason": "stop"}])) == [Finish("stop")]


DELTAS = st.fixed_dictionaries(
    {"content": st.sampled_from(["x", "y", "", None])},
    optional={
        name: st.sampled_from(PIECES)
        for name in (
            "refusal", "reasoning_content", "reasoning", "reasoning_details", "tool_calls", "function_call",
            "audio", "images", "role",
        )
    },
)  # fmt: skip
CHOICES = st.fixed_dictionaries(
    {"delta": st.one_of(st.just({"content": "x"}), DELTAS)},
    optional={
        "index": st.sampled_from([0, 0, 1, None, "0"]),
        "finish_reason": st.sampled_from([None, None, "", "stop", "error", 1]),
        "text": st.sampled_from([None, "x", "", 1]),
        "message": st.sampled_from([None, {"content": "x"}, 1]),
        "usage": st.sampled_from([None, USAGE, {}]),
    },
)
CHUNKS = st.one_of(
    st.just({"choices": [{"delta": {"content": "x"}}]}),
    st.fixed_dictionaries(
        {"choices": st.lists(CHOICES, min_size=1, max_size=2) | st.just([]) | st.none()},
        optional={name: st.sampled_from(PIECES) for name in ("usage", "error", "x_groq", "object", "id", "model")},
    ),
)


@given(st.lists(st.tuples(CHUNKS, st.sampled_from(["", "", "", "error", "x"])), max_size=12))
def test_what_flows_means_the_same_to_who_looks_closely(said: list[tuple[dict[str, Any], str]]) -> None:
    meaning, close = flow()[0], Noted(NAME, AnswerMeaning())
    for one, name in said:
        data = json.dumps(one).encode()
        assert events(meaning, data, name) == events(close, data, name)
    assert list(meaning.done()) == list(close.done())

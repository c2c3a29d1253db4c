"""Text is known by the shape of its answer, and means what it would mean to who looks closely."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects.noting import Noted
from llmrouter.dialects.openai_answers import AnswerMeaning
from llmrouter.dialects.openai_text import TextMeaning
from llmrouter.types import Begin, Event, Fault, Finish, Spent, Text, Usage

NAME = "openai.chat"
CALL = {"function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 3}
PIECES: Sequence[Any] = (None, "", "x", [], {}, 0, 1, False, [{"type": "text", "text": "t"}], [CALL], CALL, USAGE)
"""What may stand anywhere, in its place or out of it."""


class Watched(TextMeaning):
    """Counts how often it looks closely."""

    looked = 0

    @property
    def _closely(self) -> Noted:
        self.looked += 1
        return self._noted

    @cached_property
    def _noted(self) -> Noted:
        return close(self._answer)


def close(answer: AnswerMeaning | None = None) -> Noted:
    return Noted(NAME, answer or AnswerMeaning())


def chunk(said: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": said}, "finish_reason": None}
    return json.dumps({"id": "a", "model": "m", "choices": [choice]} | more).encode()


def body(said: Any = "x", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    return json.dumps({"id": "a", "model": "m", "choices": [choice], "usage": USAGE} | more).encode()


def meant(meaning: Callable[..., Sequence[Event]], *what: Any) -> list[Event] | str:
    """The events, or what kind of error there was instead."""
    try:
        return list(meaning(*what))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        return type(error).__name__


def events(meaning: Any, data: bytes, name: str = "") -> list[Event] | str:
    return meant(meaning.event, data, name)


def test_text_that_follows_on_text_is_not_looked_at_closely() -> None:
    meaning = Watched()
    assert events(meaning, chunk("a")) == [Begin("a", "m"), Text("a")]
    assert events(meaning, chunk("b")) == [Text("b")]
    looked = meaning.looked
    assert [events(meaning, chunk(said)) for said in ("c", "", "d")] == [[Text("c")], [], [Text("d")]]
    assert meaning.looked == looked


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
    meaning = Watched()
    for said in ("a", "b"):
        meaning.event(chunk(said), "")
    looked = meaning.looked
    events(meaning, other)
    assert meaning.looked == looked + 1


def test_a_body_of_text_is_not_looked_at_closely() -> None:
    meaning = Watched()
    spent = Spent(Usage(input=3))
    assert meaning.body(body("x")) == [Begin("a", "m"), Text("x"), Finish("stop"), spent]
    assert meaning.body(body("", usage=None, provider="p")) == [Begin("a", "m", "p"), Finish("stop")]
    assert not meaning.looked


def test_a_named_event_is_looked_at_closely() -> None:
    meaning = Watched()
    for said in ("a", "b"):
        meaning.event(chunk(said), "")
    assert events(meaning, chunk("c"), "error") == [Fault(chunk("c"))]


def test_text_of_another_choice_does_not_begin_the_flow() -> None:
    meaning = Watched()
    other = {"index": 1, "delta": {"content": "x"}}
    for _ in range(3):
        meaning.event(chunk(choices=[other]), "")
    meaning.event(chunk("a"), "")
    assert events(meaning, chunk(choices=[other | {"finish_reason": "stop"}])) == [Text("")]
    assert events(meaning, chunk(choices=[{"delta": {}, "finish_reason": "stop"}])) == [Finish("stop")]


IN_ANSWER = ("id", "model", "object", "provider", "choices", "usage", "error", "x_groq")
IN_CHOICE = ("index", "delta", "message", "text", "finish_reason", "usage")
IN_SAID = (
    "content", "refusal", "reasoning_content", "reasoning", "reasoning_details", "tool_calls", "function_call",
    "audio", "images",
)  # fmt: skip
ODDITIES = [
    *[(IN_ANSWER, name, value) for name in IN_ANSWER for value in PIECES],
    *[(IN_CHOICE, name, value) for name in IN_CHOICE for value in PIECES],
    *[(IN_SAID, name, value) for name in IN_SAID for value in PIECES],
    (IN_ANSWER, "x_groq", {"usage": USAGE}),
    *[(IN_CHOICE, "finish_reason", reason) for reason in ("stop", "length", "content_filter", "eos", "error")],
]


def odd(answer: bytes, place: Sequence[str], name: str, value: Any) -> bytes:
    """The answer with a value where it does not belong."""
    whole = json.loads(answer)
    choice = whole["choices"][0]
    said = choice.get("delta") or choice.get("message")
    (said if place is IN_SAID else choice if place is IN_CHOICE else whole)[name] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize(("place", "name", "value"), ODDITIES)
def test_what_stands_anywhere_means_the_same(place: Sequence[str], name: str, value: Any) -> None:
    for whole in (body("y"), body("y", usage=None)):
        data = odd(whole, place, name, value)
        assert meant(TextMeaning().body, data) == meant(close().body, data)
    meaning, noted = TextMeaning(), close()
    for data in (chunk("a"), chunk("b"), odd(chunk("c"), place, name, value), chunk("d")):
        assert events(meaning, data) == events(noted, data)


SAID = st.one_of(
    st.just({"content": "x"}),
    st.fixed_dictionaries(
        {"content": st.sampled_from(["x", "y", "", None])},
        optional={name: st.sampled_from(PIECES) for name in IN_SAID[1:]},
    ),
)


def answers(own: str, other: str, reasons: Sequence[Any]) -> st.SearchStrategy[dict[str, Any]]:
    choices = st.fixed_dictionaries(
        {own: SAID},
        optional={
            other: st.sampled_from([None, {"content": "x"}, 1]),
            "index": st.sampled_from([0, 0, 1, None, "0"]),
            "finish_reason": st.sampled_from(reasons),
            "text": st.sampled_from([None, "x", "", 1]),
            "usage": st.sampled_from([None, USAGE, {}]),
        },
    )
    return st.fixed_dictionaries(
        {"choices": st.lists(choices, min_size=1, max_size=2) | st.just([]) | st.none()},
        optional={
            "id": st.sampled_from(["a", "", None, 1]),
            "model": st.sampled_from(["m", "", None, 1]),
            "provider": st.sampled_from(["p", "", None, 1]),
            "x_groq": st.sampled_from([None, {"id": "a"}, {"usage": USAGE}, {"usage": None}, [], 1]),
        }
        | {name: st.sampled_from(PIECES) for name in ("usage", "error", "object")},
    )


CHUNKS = st.just({"choices": [{"delta": {"content": "x"}}]}) | answers(
    "delta", "message", [None, None, "", "stop", "error", 1]
)
BODIES = answers("message", "delta", ["stop", "stop", "length", None, "", "tool_calls", "error", 1])


@given(st.lists(st.tuples(CHUNKS, st.sampled_from(["", "", "", "error", "x"])), max_size=12))
def test_chunks_mean_the_same_to_who_looks_closely(said: list[tuple[dict[str, Any], str]]) -> None:
    meaning, noted = TextMeaning(), close()
    for one, name in said:
        data = json.dumps(one).encode()
        assert events(meaning, data, name) == events(noted, data, name)
    assert list(meaning.done()) == list(noted.done())


@given(BODIES)
def test_a_body_means_the_same_to_who_looks_closely(said: dict[str, Any]) -> None:
    data = json.dumps(said).encode()
    assert meant(TextMeaning().body, data) == meant(close().body, data)

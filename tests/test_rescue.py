"""Going on where a stream broke off: never a word twice, never a word that contradicts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.engine.attempt import Broken
from llmrouter.engine.rescue import Rescue, Said
from llmrouter.types import Begin, Event, Finish, Frame, Refusal, Text, Thought, ToolArgs, ToolStart, Wire

STREAM = Wire("openai.chat", True)


def frames(events: Sequence[Event]) -> list[Frame]:
    return [Frame(STREAM, b"raw", (event,)) for event in events]


def said(events: Sequence[Event]) -> Said:
    heard = Said()
    heard.take(events)
    return heard


def passed(first: Sequence[Event], second: Sequence[Event]) -> list[Event]:
    return [event for frame in Rescue(said(first)).passed(frames(second)) for event in frame.events]


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def pieces(whole: str, cuts: Sequence[int]) -> list[Event]:
    places = sorted({cut % (len(whole) + 1) for cut in cuts})
    ends = [*places, len(whole)]
    return [Text(whole[start:end]) for start, end in zip([0, *places], ends, strict=True) if end > start]


@given(st.text(min_size=1), st.lists(st.integers(0, 99)), st.lists(st.integers(0, 99)), st.integers(0, 99))
def test_the_rest_is_passed_on_whatever_the_pieces(
    whole: str, cuts: list[int], other: list[int], broken: int
) -> None:
    first = pieces(whole, cuts)
    first = first[: 1 + broken % len(first)]
    second = [Begin("b", "m"), Thought("hm"), *pieces(whole, other), Finish("stop")]
    rest = passed(first, second)
    assert text(first) + text(rest) == whole
    assert rest[-1] == Finish("stop")
    assert not any(isinstance(event, Begin | Thought) for event in rest)


@given(st.text(min_size=1), st.text(min_size=1))
def test_what_says_otherwise_is_not_passed_on(one: str, other: str) -> None:
    second = [*pieces(other, [1, 3]), Finish("stop")]
    if other.startswith(one):
        assert one + text(passed([Text(one)], second)) == other
    else:
        with pytest.raises(Broken) as broken:
            passed([Text(one)], second)
        assert broken.value.failure.kind == "diverged"


CALL: list[Event] = [ToolStart("1", "f"), ToolArgs("1", "{}")]
TURNS: list[Event] = [
    ToolStart("1", "f"), ToolStart("2", "g"), ToolArgs("1", '{"x"'), ToolArgs("2", "["), ToolArgs("1", ":1}"),
    ToolArgs("2", "]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "rest"),
    [
        (
            [*CALL, Text("a")],
            [ToolStart("9", "f"), ToolArgs("9", "{"), ToolArgs("9", "}"), Text("ab")],
            [Text("b")],
        ),
        ([Text("a")], [Text("a"), *CALL], CALL),
        (
            [ToolStart("1", "f"), ToolStart("2", "f"), Text("a")],
            [ToolStart("8", "f"), ToolStart("9", "f"), Text("a!")],
            [Text("!")],
        ),
        ([Text("a")], [Text("a"), Refusal("no")], [Refusal("no")]),
        ([Text("a"), *CALL, Text("b")], [Text("a"), *CALL, Text("bc")], [Text("c")]),
        ([Text("a"), *CALL, Text("b")], [Text("a"), ToolStart("9", "f"), Text("bc")], [Text("c")]),
        (
            [ToolStart("1", "f"), ToolArgs("1", '{"x": [1,2]}'), Text("a")],
            [ToolStart("9", "f"), ToolArgs("9", '{"x":'), ToolArgs("9", "[1, 2]}"), Text("ab")],
            [Text("b")],
        ),
        (
            [*TURNS, Text("a")],
            [ToolStart("8", "f"), ToolArgs("8", '{"x":1}'), ToolStart("9", "g"), ToolArgs("9", "[]"), Text("a")],
            [],
        ),
    ],
)
def test_calls_are_compared_by_name_and_arguments(
    first: list[Event], second: list[Event], rest: list[Event]
) -> None:
    assert passed(first, [*second, Finish("stop")]) == [*rest, Finish("stop")]


@pytest.mark.parametrize(
    "second",
    [
        [Text("a"), Finish("stop")],
        [Text("ab"), ToolStart("1", "g")],
        [Text("ab"), *CALL[:1], ToolArgs("1", '{"x":1}'), Text("c")],
        [Text("ab"), *CALL[:1], ToolArgs("1", "{"), Text("cd")],
        [Text("ab"), *CALL, *CALL, Text("cd")],
        [Text("abX")],
        [Refusal("a")],
        [*CALL],
    ],
)
def test_another_answer_is_a_difference(second: list[Event]) -> None:
    with pytest.raises(Broken):
        passed([Text("ab"), *CALL, Text("c")], [*second, Finish("stop")])


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ('{"a":1,"b":2}', '{ "b": 2, "a": 1 }', True),
        ('{"a":"\\u00e9"}', '{"a":"é"}', True),
        ("", "{}", True),
        ('{"a":1}', '{"a":true}', False),
        ('{"a":', '{"a": ', False),
    ],
)
def test_arguments_are_compared_by_what_they_mean(before: str, now: str, same: bool) -> None:
    first: list[Event] = [ToolStart("1", "f"), ToolArgs("1", before), Text("a")]
    second: list[Event] = [ToolStart("2", "f"), ToolArgs("2", now), Text("ab")]
    if same:
        assert text(passed(first, second)) == "b"
    else:
        with pytest.raises(Broken):
            passed(first, second)


@pytest.mark.parametrize(
    ("events", "goes_on"),
    [([], False), ([Text("a")], True), ([*CALL], False), ([Text("a"), *CALL], False), ([*CALL, Text("a")], True)],
)
def test_a_call_that_may_be_cut_is_not_gone_on_with(events: list[Event], goes_on: bool) -> None:
    assert said(events).can_go_on is goes_on

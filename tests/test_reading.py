"""What is noted of the frames of an answer, however they are cut into batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmrouter.engine.inspection import LOOP, Expected, Inspection
from llmrouter.engine.reading import Reading
from llmrouter.types import (
    Begin,
    Event,
    Fault,
    Finish,
    Frame,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
    Wire,
)

STREAM = Wire("openai.chat", True)
BROKEN = Fault(b"{oops", malformed=True)


def frames(*events: Event) -> list[Frame]:
    return [Frame(STREAM, b"x", (event,)) for event in events]


def reading(**how: Any) -> Reading:
    return Reading(lambda: 7.0, inspection=Inspection(Expected), **how)


@pytest.mark.parametrize("together", [False, True])
def test_an_answer_is_noted_as_it_comes(together: bool) -> None:
    events: list[Event] = [Begin("up", "m", "via"), Thought("hm"), Thought(" so"), Text("a"), Text("b")]
    one = reading()
    for batch in [events] if together else [[event] for event in events]:
        assert one.see(frames(*batch)) == frames(*batch)
    assert (one.via, one.first_output, one.lively, one.holds) == ("via", 7.0, False, False)
    one.see(frames(Thought("wait")))
    assert one.lively
    one.see(frames(Text("c"), Spent(Usage(output=3)), Finish("stop")))
    assert (one.lively, one.finished, one.usage, one.flaw) == (False, True, Usage(output=3), None)
    assert one.inspection
    assert one.inspection.text == "abc"


@pytest.mark.parametrize("kind", [Text, Thought])
@pytest.mark.parametrize("together", [False, True])
def test_what_loops_is_noted_among_other_things(kind: Callable[[str], Event], together: bool) -> None:
    one = reading()
    one.see(frames(Text("one"), Thought("two"), ToolStart("c", "f"), ToolArgs("c", "{}")))
    said = frames(*[kind("and so on, ")] * 2_000)
    for batch in [said] if together else [[frame] for frame in said]:
        one.see(batch)
    assert one.flaw
    assert one.flaw.message == LOOP


def test_an_answer_flows_from_its_first_output_to_its_finish() -> None:
    one = reading()
    assert (one.holds, one.flows) == (True, False)
    one.see(frames(Begin("up", "m")))
    assert one.holds
    one.see(frames(Text("a")))
    assert (one.holds, one.flows) == (False, False)
    one.flow()
    assert (one.holds, one.flows, one.given) == (False, True, True)
    one.see(frames(ToolStart("c", "f"), Finish("stop")))
    assert (one.holds, one.flows) == (False, False)


def test_what_is_held_whole_never_flows() -> None:
    one = reading(whole=True)
    one.see(frames(Text("a")))
    assert one.holds
    one.flow()  # too much came before its first output
    assert (one.holds, one.flows) == (True, False)
    one.see(frames(Finish("stop")))
    assert (one.holds, one.flows) == (False, False)


def test_calls_can_be_held_from_the_first_one_on() -> None:
    one = reading(calls=True)
    one.see(frames(Text("a")))
    one.flow()
    one.see(frames(Text("b"), ToolStart("c", "f"), ToolArgs("c", "{}")))
    assert (one.holds, one.flows) == (True, False)
    one.see(frames(Finish("tool_calls")))
    assert (one.holds, one.flows) == (False, False)


def test_what_comes_with_or_after_a_fault_is_left_out() -> None:
    one = reading(skips=True)
    assert one.see(frames(Text("a"), BROKEN, Text("b"))) == frames(Text("a"))
    assert one.fault == BROKEN


def test_an_unreadable_event_of_what_is_written_may_be_emptied() -> None:
    one = reading(skips=True)
    one.see(frames(Text("a")))
    one.flow()
    seen = one.see(frames(Text("b"), BROKEN, Text("c"), BROKEN, Finish("stop"), Fault(b"{}"), Text("d")))
    empty = Frame(STREAM, b"", ())
    assert seen == [*frames(Text("b")), empty, *frames(Text("c")), empty, *frames(Finish("stop"))]
    assert one.fault == Fault(b"{}")
    assert not one.flows

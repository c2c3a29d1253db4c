"""Thoughts that a vendor wants back, thoughts that are none of its business, and thinking as a model knows it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmrouter.dialects import Messages, fit_thinking
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.dialects.noting import Turn, name_of
from llmrouter.types import Fields, Thought

NAME = "anthropic.messages"
MESSAGES = Messages()
USER = {"role": "user", "content": "go"}
USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "sig"}
FOREIGN = {"type": "thinking", "thinking": "ja", "signature": "^llmrouter:gemini.generate#abc"}
HIDDEN = {"type": "redacted_thinking", "data": "^llmrouter:openai.responses#enc"}
BUDGET = {"type": "enabled", "budget_tokens": 2000}
EFFORT = {"type": "adaptive"}


def model(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def fields(*messages: Any, **more: Any) -> Fields:
    return parse(dumps({"model": "m", "messages": list(messages), **more}))


def kept(*thoughts: Thought, source: str = NAME) -> dict[str, bytes]:
    return {name_of("t1", {}): msgspec.json.encode(Turn(source, thoughts, {}))}


def resolved(before: Fields, **found: bytes) -> dict[str, Any]:
    return {name: loads(value) for name, value in MESSAGES.resolve(before, found).items()}


BARE = (USER, model({"type": "text", "text": "let me"}, USE), RESULT)


# --- put back


@pytest.mark.parametrize("thinking", [BUDGET, EFFORT])
def test_a_turn_without_its_thoughts_is_looked_for_by_its_first_call(thinking: Any) -> None:
    assert list(MESSAGES.names(fields(*BARE, thinking=thinking))) == [name_of("t1", {})]


@pytest.mark.parametrize("more", [{}, {"thinking": {"type": "disabled"}}])
def test_who_does_not_think_needs_nothing(more: Any) -> None:
    assert list(MESSAGES.names(fields(*BARE, **more))) == []


@pytest.mark.parametrize(
    "messages",
    [
        (USER, model(SIGNED, USE), RESULT),
        (USER, model({"type": "redacted_thinking", "data": "x"}, USE), RESULT),
        (USER, model({"type": "text", "text": "no call"})),
        (USER, {"role": "assistant", "content": "text alone"}),
    ],
)
def test_nothing_is_looked_for_where_nothing_is_missing(messages: Any) -> None:
    before = fields(*messages, thinking=BUDGET)
    assert list(MESSAGES.names(before)) == []
    assert MESSAGES.resolve(before, {}) is before


@pytest.mark.parametrize("thinking", [BUDGET, EFFORT])
def test_what_was_kept_is_put_back_before_everything_else(thinking: Any) -> None:
    before = fields(*BARE, thinking=thinking)
    found = kept(Thought("hm", "sig"), Thought("", "xyz", redacted=True), Thought("unsigned"))
    after = resolved(before, **found)
    assert after["messages"][1]["content"] == [
        SIGNED,
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "let me"},
        USE,
    ]
    assert after["thinking"] == thinking


def test_what_another_vendor_said_is_not_put_back() -> None:
    after = resolved(fields(*BARE, thinking=BUDGET), **kept(Thought("hm", "sig"), source="gemini.generate"))
    assert [block["type"] for block in after["messages"][1]["content"]] == ["text", "tool_use"]


# --- taken out


@pytest.mark.parametrize("thinking", [None, BUDGET, EFFORT])
def test_what_another_vendor_signed_is_taken_out(thinking: Any) -> None:
    before = fields(USER, model(FOREIGN, {"type": "text", "text": "so"}), USER, thinking=thinking)
    after = resolved(before)
    assert after["messages"][1]["content"] == [{"type": "text", "text": "so"}]


def test_a_message_of_which_nothing_is_left_goes() -> None:
    assert resolved(fields(USER, model(FOREIGN, HIDDEN), USER))["messages"] == [USER, USER]


def test_a_text_that_looks_like_a_mark_stays() -> None:
    before = fields(
        {"role": "user", "content": "^llmrouter:gemini.generate#abc"},
        model({"type": "text", "text": "^llmrouter:"}),
    )
    assert resolved(before)["messages"] == loads(before["messages"])


# --- lost


def test_under_a_budget_a_turn_under_way_without_thoughts_switches_thinking_off() -> None:
    after = resolved(fields(*BARE, thinking=BUDGET, max_tokens=9))
    assert "thinking" not in after
    assert after["max_tokens"] == 9


def test_a_model_that_goes_by_an_effort_may_have_had_no_thought() -> None:
    assert resolved(fields(*BARE, thinking=EFFORT))["thinking"] == EFFORT


@pytest.mark.parametrize(
    "messages",
    [
        (USER, model(SIGNED, USE), RESULT, model(USE), RESULT),  # it thinks at the start of a turn only
        (*BARE, USER),  # that turn is over
        (*BARE, {"role": "user", "content": [*RESULT["content"], {"type": "text", "text": "and?"}]}),
        (USER,),
    ],
)
def test_thinking_stays_where_the_turn_under_way_began_with_a_thought_or_has_not_begun(messages: Any) -> None:
    assert resolved(fields(*messages, thinking=BUDGET))["thinking"] == BUDGET


def test_a_foreign_thought_is_none() -> None:
    assert "thinking" not in resolved(fields(USER, model(FOREIGN, USE), RESULT, thinking=BUDGET))


def test_what_cannot_be_read_is_left_to_the_vendor() -> None:
    before = parse(b'{"messages":[{"role":"assistant","content":[7]},{"role":7}],"thinking":{"type":"enabled"}}')
    assert list(MESSAGES.names(before)) == []
    assert MESSAGES.resolve(before, {}) is before


# --- as a model knows it


def fitted(modes: set[str], efforts: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    before = fields(USER, **more)
    after = {name: loads(value) for name, value in fit_thinking(before, frozenset(modes), efforts).items()}
    return {name: value for name, value in after.items() if name in ("thinking", "output_config")}


@pytest.mark.parametrize(
    ("modes", "efforts", "asked", "said"),
    [
        ({"enabled"}, (), {"thinking": EFFORT}, {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
        ({"enabled"}, (), {"thinking": EFFORT, "output_config": {"effort": "low"}},
         {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ({"enabled"}, (), {"thinking": {**EFFORT, "display": "omitted"}, "max_tokens": 2000},
         {"thinking": {"type": "enabled", "budget_tokens": 1999, "display": "omitted"}}),
        ({"enabled"}, (), {"thinking": EFFORT, "max_tokens": 900}, {}),
        ({"enabled"}, (), {"thinking": EFFORT, "tool_choice": {"type": "any"}}, {}),
        ({"adaptive"}, ("low", "high"), {"thinking": BUDGET},
         {"thinking": EFFORT, "output_config": {"effort": "low"}}),
        ({"adaptive"}, ("low", "high"), {"thinking": {**BUDGET, "budget_tokens": 31_999}}, {"thinking": EFFORT}),
        ({"adaptive"}, ("low", "high"), {"thinking": BUDGET, "output_config": {"effort": "max"}},
         {"thinking": EFFORT, "output_config": {"effort": "high"}}),
        (set(), (), {"thinking": BUDGET, "output_config": {"effort": "high", "format": {}}},
         {"output_config": {"format": {}}}),
        (set(), (), {"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        ({"enabled"}, ("medium",), {"output_config": {"effort": "low"}}, {"output_config": {"effort": "medium"}}),
    ],
)  # fmt: skip
def test_thinking_is_asked_for_as_the_model_knows_it(modes: Any, efforts: Any, asked: Any, said: Any) -> None:
    assert fitted(modes, efforts, **asked) == said


def test_a_turn_under_way_without_thoughts_gets_no_budget() -> None:
    before = fields(*BARE, thinking=EFFORT)
    assert "thinking" not in fit_thinking(before, frozenset({"enabled"}), ())


def test_what_a_model_knows_stays_byte_for_byte() -> None:
    before = parse(b'{"thinking":{ "type":"adaptive" },"output_config":{ "effort":"high" }}')
    assert fit_thinking(before, frozenset({"adaptive"}), ("low", "high")) is before

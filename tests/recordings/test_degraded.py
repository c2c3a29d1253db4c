"""Recorded answers: those that are complete are not called degraded, but for some of which it is known why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from llmrouter.dialects import builtin, parse
from llmrouter.engine.inspection import EMPTY, NO_OBJECT, NO_TOOL, Inspection, expected_of
from llmrouter.types import Event, Fault, Finish
from tests.telling import Tell

from .families import ANTHROPIC, GEMINI, MESSAGES_ON_VERTEX, OPENAI, RESPONSES, Family
from .library import Exchange, exchanges, require

pytestmark = pytest.mark.recordings

FAMILIES = (OPENAI, RESPONSES, ANTHROPIC, GEMINI, MESSAGES_ON_VERTEX)
DIALECTS = {one.name: one for one in builtin()}
KNOWN: Mapping[str, tuple[str, str]] = {
    "anthropic/chatlas--test_provider_anthropic__test_anthropic_empty_response.json#0":
        (EMPTY, "recorded for that"),
    "anthropic/ellmer--vcr__anthropic-whitespace.json#0":
        (EMPTY, "a space was asked for, and came"),
    "openai/ellmer--vcr__openai-v2-tool-image.json#1":
        (EMPTY, "its model had nothing to say of what a tool drew"),
    "openrouter/ruby_llm--chat_tool_choice_and_calls_control_openrouter_"
    "claude-haiku-4-5_respects_choice_none.json#0":
        (EMPTY, "its model wanted to call a tool that it may not call"),
    "anthropic/vercel-ai--spliced-message-start.stream.json#0":
        (NO_OBJECT, "made up: two calls with one id"),
    "openrouter/rig--tool_truncation_contract_matrix__streaming_gpt4o_low_agent.json#0":
        (NO_OBJECT, "cut at its limit, which the vendor calls the end"),
    "gemini/dd-trace-py--agent_run_async.json#1":
        (NO_TOOL, "its model called an interpreter that was not there"),
    "gemini/pydantic-ai--est_tool_search__test_cross_provider_capability_replay_"
    "google-gemini-3-flash-preview-openai-responses-gpt-5.4.json#3":
        (NO_TOOL, "its model doubled the name"),
}  # fmt: skip


def answers(family: Family) -> Iterator[tuple[Exchange, str]]:
    """Complete answers of chats, and what is wrong with each."""
    for one in exchanges(family)[0]:
        surface = family.surfaces.get(one.endpoint)
        if surface is None or surface.op != "chat" or one.status != 200:
            continue
        dialect = DIALECTS[surface.dialect]
        reader = dialect.reader("chat", one.stream)
        events = [event for frame in [*reader.feed(one.body), *reader.end()] for event in frame.events]
        finish = next((event for event in events if isinstance(event, Finish)), None)
        if finish and not any(isinstance(event, Fault) for event in events):
            fields = parse(one.request)
            inspection = Inspection(lambda d=dialect, f=fields: expected_of(d, "chat", f))  # type: ignore[misc]
            yield one, judged(inspection, events, finish)


def judged(inspection: Inspection, events: list[Event], finish: Finish) -> str:
    return next((wrong for event in events if (wrong := inspection.see(event))), "") or inspection.end(
        finish.reason
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_what_was_recorded_whole_is_good(family: Family, tell: Tell) -> None:
    require()
    found = {one.id: wrong for one, wrong in answers(family)}
    bad = {id: wrong for id, wrong in found.items() if wrong}
    tell(f"{family.name}: {len(found)} complete answers, {len(bad)} degraded")
    assert found
    assert bad == {id: KNOWN[id][0] for id in found if id in KNOWN}

"""Bodies with a value of a kind that nobody would think of: the client is told which field is at fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmrouter.dialects import builtin, dumps, fit_thinking, parse
from llmrouter.errors import InvalidRequest

DIALECTS = {dialect.name: dialect for dialect in builtin()}


def said(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        ("openai.chat", b'{"model": "m", "messages": [             ]}', "messages"),
        (
            "anthropic.messages",
            dumps({"model": "m", "messages": said([{"type": [1]}])}),
            "messages[0].content[0].type",
        ),
        (
            "anthropic.messages",
            dumps({"model": "m", "messages": said([{"type": "image", "source": {"type": ["x"]}}])}),
            "messages[0].content.type",
        ),
        ("anthropic.messages", dumps({"model": "m", "messages": said("x"), "thinking": "much"}), "thinking"),
        ("anthropic.messages", dumps({"model": "m", "thinking": "much"}), "messages"),
        ("openai.responses", dumps({"model": "m", "input": "x", "include": "all"}), "include"),
        ("rerank", dumps({"model": "m", "query": "q", "documents": [{"text": None}]}), "documents"),
    ],
)
def test_the_field_at_fault_is_named(dialect: str, body: bytes, param: str) -> None:
    chosen = DIALECTS[dialect]
    with pytest.raises(InvalidRequest) as caught:
        chosen.facts(next(iter(chosen.paths.values())), parse(body), {})
    assert caught.value.param == param


def test_modalities_that_are_no_list_ask_for_no_sound() -> None:
    contents = [{"parts": [{"text": "Hi"}]}]
    body = {"model": "m", "contents": contents, "generationConfig": {"responseModalities": True}}
    facts = DIALECTS["gemini.generate"].facts("chat", parse(dumps(body)), {})
    assert "audio_out" not in facts.needs


@pytest.mark.parametrize(
    "body",
    [
        {"thinking": {"type": "enabled", "budget_tokens": "many"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": ["high"]}},
    ],
)
@pytest.mark.parametrize("modes", [frozenset({"enabled"}), frozenset({"adaptive"}), frozenset[str]()])
def test_thinking_of_an_odd_kind_breaks_nothing(body: Mapping[str, Any], modes: frozenset[str]) -> None:
    fields = parse(dumps({"messages": said("Hi"), **body}))
    assert fit_thinking(fields, modes, ("low", "high"))["messages"] == fields["messages"]

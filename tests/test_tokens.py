from __future__ import annotations

import msgspec

from llmrouter import dialects
from llmrouter.catalogue.names import Expansion, Place
from llmrouter.dialects.common import parse
from llmrouter.engine.tokens import counted
from llmrouter.types import Account, Card, Endpoint, Request

CHAT = next(one for one in dialects.builtin() if one.name == "openai.chat")


class Counter:
    def __init__(self, tokens: int | None) -> None:
        self.tokens = tokens
        self.asked: list[tuple[str, str]] = []

    def count(self, text: str, model: str) -> int | None:
        self.asked.append((text, model))
        return self.tokens


def request(content: str) -> Request:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    body = {
        "model": "x",
        "messages": [
            {"role": "user", "content": content},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        ],
    }
    fields = parse(msgspec.json.encode(body))
    return Request(CHAT.facts("chat", fields, {}), fields)


def windows(*sizes: int | None) -> Expansion:
    places = tuple(
        Place(
            Endpoint(
                provider="a",
                model=f"m{size}",
                dialects=("openai.chat",),
                accounts=(Account("a", "a"),),
                card=Card(window=size),
            )
        )
        for size in sizes
    )
    return Expansion(tiers=(places,), reason="default")


def tokens(asked: Request, expansion: Expansion, counter: Counter) -> int:
    return counted(asked, expansion, CHAT, counter).facts.input_tokens


def test_near_the_end_of_a_window_the_text_is_counted() -> None:
    asked, counter = request("word " * 1_000), Counter(1_234)
    assert tokens(asked, windows(None, 100_000, 1_500), counter) == 1_234
    text, model = counter.asked[0]
    assert model == "m1500"
    assert "word word" in text
    assert 'look {"at": 1}' in text
    assert "seen" in text


def test_far_from_every_window_the_estimate_will_do() -> None:
    asked, counter = request("word " * 1_000), Counter(1_234)
    estimate = asked.facts.input_tokens
    assert tokens(asked, windows(None, 100_000, 100), counter) == estimate
    assert counter.asked == []


def test_without_a_vocabulary_the_estimate_stands() -> None:
    asked = request("word " * 1_000)
    estimate = asked.facts.input_tokens
    assert tokens(asked, windows(1_500), Counter(None)) == estimate

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from llmrouter.dialects import Generate, Generation, bend_to, get
from llmrouter.dialects.noting import Turn, name_of
from llmrouter.dialects.signatures import tagged
from llmrouter.types import Fields, Thought

GEMINI = Generate()
OWN = "gemini.generate"
WORD = base64.b64encode(b"skip_thought_signature_validator").decode()
FOREIGN = base64.b64encode(tagged("abc", "anthropic.messages", OWN).encode()).decode()
SIGNED = Generation(levels=("low", "high"), signed=True)


def fields(*contents: Any, name: str = "contents", **more: Any) -> Fields:
    said: dict[str, Any] = {name: [*contents], **more}
    return {one: msgspec.Raw(json.dumps(value).encode()) for one, value in said.items()}


def call(id: str = "", name: str = "f", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}} | ({"id": id} if id else {}), **more}


def turn(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [*parts]}


USER = {"role": "user", "parts": [{"text": "functionCall is only a word here"}]}


def kept(id: str, source: str = OWN, **signatures: str) -> dict[str, bytes]:
    return {name_of(id, {}): msgspec.json.encode(Turn(source, (Thought("hm"),), signatures))}


def parts(found: Fields, at: int = 1) -> Any:
    return get(found, "contents")[at]["parts"]


def test_it_asks_for_turns_whose_first_call_is_unsigned() -> None:
    asked = fields(
        USER,
        turn(call("a"), call("b")),
        turn(call("c", thoughtSignature="c2ln")),
        turn({"text": "x"}, {"function_call": {"id": "d", "name": "f"}}),
        turn(call("e", thoughtSignature=FOREIGN)),
        turn(call()),
    )
    assert GEMINI.names(asked) == [name_of(id, {}) for id in "ade"]


def test_what_was_kept_is_put_back() -> None:
    found = GEMINI.resolve(fields(USER, turn(call("a"), call("b"), call("c"))), kept("a", a="c2ln", c="bw=="))
    assert [part.get("thoughtSignature") for part in parts(found)] == ["c2ln", None, "bw=="]


def test_the_turn_of_another_vendor_is_not() -> None:
    asked = fields(USER, turn(call("a")))
    assert GEMINI.resolve(asked, kept("a", "anthropic.messages", a="x")) is asked


def test_foreign_signatures_are_taken_out_and_nothing_is_left_empty() -> None:
    asked = fields(
        USER,
        turn({"text": "hm", "thought": True, "thoughtSignature": FOREIGN}, call("a", thoughtSignature=FOREIGN)),
        turn({"text": "", "thought": True, "thoughtSignature": FOREIGN}, {"text": "said"}),
        turn({"text": "", "thought_signature": FOREIGN}),
    )
    found = GEMINI.resolve(asked, {})
    assert [parts(found, at) for at in (1, 2, 3)] == [
        [{"text": "hm", "thought": True}, call("a")],
        [{"text": "said"}],
        [{"text": " "}],
    ]


def test_what_needs_nothing_stays_as_it_came() -> None:
    signed = msgspec.Raw(b'[ {"role":"model", "parts":[{"functionCall":{"name":"f"},"thoughtSignature":"c2ln"}]} ]')
    for asked in ({"contents": signed}, fields(USER), {}, {"contents": msgspec.Raw(b'"functionCall"')}):
        assert GEMINI.resolve(asked, {}) is asked
        assert bend_to(asked, SIGNED) is asked
        assert list(GEMINI.names(asked)) == []


def test_contents_beside_the_changed_ones_stay_byte_for_byte() -> None:
    raw = (
        b'[{"role":"user", "parts" : [{"text":"functionCall"}]},{"parts":[{"functionCall":{"id":"a","name":"f"}}]}]'
    )
    found = GEMINI.resolve({"contents": msgspec.Raw(raw)}, kept("a", a="c2ln"))
    assert bytes(found["contents"]).startswith(b'[{"role":"user", "parts" : [{"text":"functionCall"}]},')


# --- generations


def test_a_lost_signature_is_stood_in_for_where_it_is_demanded() -> None:
    asked = fields(USER, turn({"text": "x"}, call(), call()), turn(call("c", thoughtSignature="c2ln")))
    found = bend_to(asked, SIGNED)
    assert [part.get("thoughtSignature") for part in parts(found)] == [None, WORD, None]
    assert parts(found, 2) == parts(asked, 2)
    assert bend_to(asked, Generation(levels=("low",))) is asked


BUDGET = Generation(budget=(128, 32768))
OPTIONAL = Generation(budget=(512, 24576), optional=True)
FEW = Generation(levels=("low", "high"))
MANY = Generation(levels=("minimal", "low", "medium", "high"))


@pytest.mark.parametrize(
    ("generation", "asked", "told"),
    [
        (BUDGET, {"thinkingLevel": "high"}, {"thinkingBudget": 4096}),
        (BUDGET, {"thinkingLevel": "none"}, {"thinkingBudget": 128}),
        (
            BUDGET,
            {"thinkingLevel": "max", "includeThoughts": True},
            {"thinkingBudget": 16384, "includeThoughts": True},
        ),
        (BUDGET, {"thinkingBudget": 0}, {"thinkingBudget": 128}),
        (BUDGET, {"thinkingBudget": 99999}, {"thinkingBudget": 32768}),
        (BUDGET, {"thinkingBudget": -1}, {"thinkingBudget": -1}),
        (BUDGET, {"thinkingLevel": "whatever"}, None),
        (OPTIONAL, {"thinkingLevel": "none"}, {"thinkingBudget": 0}),
        (OPTIONAL, {"thinkingLevel": "minimal"}, {"thinkingBudget": 512}),
        (FEW, {"thinkingLevel": "minimal"}, {"thinkingLevel": "low"}),
        (FEW, {"thinkingLevel": "medium"}, {"thinkingLevel": "high"}),
        (FEW, {"thinkingLevel": "HIGH"}, {"thinkingLevel": "HIGH"}),
        (MANY, {"thinkingLevel": "none"}, {"thinkingLevel": "minimal"}),
        (MANY, {"thinkingLevel": "xhigh"}, {"thinkingLevel": "high"}),
        (MANY, {"thinkingBudget": 1024}, {"thinkingBudget": 1024}),
        (MANY, {"thinkingLevel": "low", "thinkingBudget": 9}, {"thinkingLevel": "low"}),
        (Generation(), {"thinkingLevel": "high", "includeThoughts": True}, None),
    ],
)
def test_each_generation_is_told_to_think_as_it_takes_it(generation: Generation, asked: Any, told: Any) -> None:
    bent = bend_to(fields(USER, generationConfig={"topK": 1, "thinkingConfig": asked}), generation)
    expected = {"topK": 1} | ({"thinkingConfig": told} if told else {})
    assert get(bent, "generationConfig") == expected
    snake = fields(USER, generation_config={"thinking_config": {"thinking_level": asked.get("thinkingLevel")}})
    if "thinkingLevel" in asked and bend_to(snake, generation) is not snake:
        assert "thinking_config" not in get(bend_to(snake, generation), "generation_config")


def test_a_request_that_says_nothing_of_thinking_stays_as_it_came() -> None:
    for asked in (
        fields(USER),
        fields(USER, generationConfig={"topK": 1}),
        fields(USER, generationConfig={"thinkingConfig": None}),
    ):
        assert bend_to(asked, BUDGET) is asked

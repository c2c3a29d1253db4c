"""What counts as degraded, and what must never: a corpus of good answers, bad ones, and the recorded ones."""

from __future__ import annotations

import base64
import json
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import builtin, dumps, parse
from llmrouter.engine import schemas
from llmrouter.engine.inspection import (
    ANYTHING,
    EMPTY,
    LOOP,
    MOST_JSON,
    NO_JSON,
    NO_OBJECT,
    NO_TOOL,
    Expected,
    Inspection,
    expected_of,
)
from llmrouter.engine.loops import LEAST, LEAST_SIGNS, LONGEST, REPEATS, unit
from llmrouter.engine.schemas import MOST_SCHEMA, breach
from llmrouter.types import Begin, Event, Finish, Refusal, Result, Spent, Text, Thought, ToolArgs, ToolStart, Usage

DIALECTS = {one.name: one for one in builtin()}
PLAIN = Expected()
JSON = Expected(json=True)


def wrong(*events: Event, expected: Expected = PLAIN, reason: str = "stop") -> str:
    """What is said of an answer in the end."""
    inspection = Inspection(lambda: expected)
    for event in events:
        if said := inspection.see(event):
            return said
    return inspection.end(reason)


def called(arguments: str, name: str = "look", id: str = "c1") -> tuple[Event, ...]:
    return ToolStart(id, name), *[ToolArgs(id, piece) for piece in arguments]


# --- empty answers


@pytest.mark.parametrize("reason", ["stop", "tool_calls"])
@pytest.mark.parametrize(
    "events",
    [
        (),
        (Begin("1", "m"), Spent(Usage(output=3))),
        (Thought("I will say nothing."),),
        (Text(" "), Text("\n\n")),
        (ToolArgs("of nothing", "{}"),),
    ],
)
def test_an_answer_that_says_nothing_is_empty(events: Sequence[Event], reason: str) -> None:
    assert wrong(*events, reason=reason) == EMPTY


@pytest.mark.parametrize("event", [Text("x"), Refusal("no"), ToolStart("c1", "look"), Result(1), Text("")])
def test_an_answer_that_says_something_is_not(event: Event) -> None:
    assert wrong(Thought("Hm."), event) == ""


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_what_was_cut_is_honest(reason: str) -> None:
    assert wrong(reason=reason) == ""
    assert wrong(Text('{"a": '), expected=JSON, reason=reason) == ""
    assert wrong(*called('{"a": '), reason=reason) == ""


def test_an_answer_may_be_empty_where_the_request_makes_it_so() -> None:
    assert wrong(expected=Expected(may_be_empty=True)) == ""


# --- loops


def rows(count: int, row: Callable[[int], str]) -> str:
    return "".join([row(number) for number in range(count)])


DRAW = random.Random(5)
GOOD: Mapping[str, str] = {
    "prose": "".join(
        DRAW.choices(["the ", "model ", "went ", "its ", "own ", "way, ", "and ", "said ", "so. "], k=4000)
    ),
    "a table": "| name | size |\n|---|---|\n" + rows(400, lambda number: f"| item {number} | {number * 7} |\n"),
    "a table to be filled in": "| name | date | signature |\n|---|---|---|\n" + "|  |  |  |\n" * 200,
    "lines to write on": ("_" * 60 + "\n\n") * 30,
    "rules": ("-" * 79 + "\n" + "A title\n" + "=" * 79 + "\n") * 20,
    "one long rule": "=" * 2_000,
    "indented code": rows(200, lambda number: " " * 4 * (number % 9) + f"if a[{number}]:\n"),
    "similar lines of code": rows(300, lambda number: f"    self.field_{number} = field_{number}\n"),
    "braces that close": "".join([" " * (80 - 4 * number) + "}\n" for number in range(20)]),
    "numbers": ", ".join(map(str, range(3_000))),
    "equal numbers": json.dumps([0.0] * 1_536),
    "a matrix of zeros": json.dumps([[0] * 48] * 48),
    "a matrix of words": json.dumps([[False] * 20] * 20, indent=1)[:3_900],
    "one line a hundred times": "I will not talk in class.\n" * 100,
    "numbered lines": rows(500, lambda number: f"{number + 1}. I will not talk in class.\n"),
    "base64": base64.b64encode(DRAW.randbytes(9_000)).decode(),
    "base64 with zeros": base64.b64encode(DRAW.randbytes(600) + bytes(2_400) + DRAW.randbytes(300)).decode(),
    "a hexadecimal dump": rows(400, lambda number: f"{number * 16:08x}  {'00 ' * 16} |................|\n"),
    "a chorus": ("Row, row, row your boat,\nGently down the stream.\n" * 3 + "And now the next verse.\n") * 20,
    "tests": rows(150, lambda number: f'    assert f({number}) == {number * number}, "wrong"\n'),
    "SQL": "INSERT INTO t VALUES\n" + rows(300, lambda number: f"({number}, NULL, NULL, NULL, NULL, NULL),\n"),
}
LOOPS: Mapping[str, str] = {
    "one sign": "!",
    "blank lines": "\n",
    "a word": "the ",
    "a sentence": "I should check the file again. ",
    "a paragraph": rows(14, lambda number: f"Step {number} is to look at it once more before going on.\n"),
    "zeros": "0, ",
    "an empty row": "| - | - |\n",
    "a unit that repeats itself inside": "a" * 90 + "b" * 300 + "c",
}


def pieces(text: str, size: int) -> Iterator[Text]:
    return (Text(text[at : at + size]) for at in range(0, len(text), size))


@pytest.mark.parametrize("size", [3, 17, 1_000, 100_000])
@pytest.mark.parametrize("name", GOOD)
def test_legitimate_text_is_no_loop(name: str, size: int) -> None:
    assert wrong(*pieces(GOOD[name], size)) == ""


@pytest.mark.parametrize("kind", [Text, Thought])
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_seen_soon_after_it_is_one(name: str, kind: Callable[[str], Event]) -> None:
    one = LOOPS[name]
    inspection = Inspection(lambda: PLAIN)
    assert not [said for piece in pieces(GOOD["prose"], 5) if (said := inspection.see(kind(piece.text)))]
    enough = max(LEAST if len(one) == 1 or any(map(str.isalpha, one)) else LEAST_SIGNS, REPEATS * len(one))
    told = 0
    while not inspection.see(kind(one)):
        told += len(one)
        assert told < enough + 2_000
    assert told >= enough - len(one) * 2 - 600
    assert inspection.end("length") == LOOP, "it stays so"


def test_a_loop_of_a_plain_answer_is_seen() -> None:
    assert wrong(Text(GOOD["prose"] + "and so on, " * 1_000), reason="length") == LOOP


def test_a_loop_that_begins_with_the_last_pieces_is_seen_at_the_end() -> None:
    inspection = Inspection(lambda: PLAIN)
    text = "and so on, " * 500
    assert [inspection.see(Text(piece)) for piece in (text[: LEAST - 1], text[LEAST - 1 :][:3])] == ["", LOOP]
    late = Inspection(lambda: PLAIN)
    for text in (GOOD["prose"][:300], "ab" * (LEAST // 2 - 150), "ab" * 200):
        assert late.see(Text(text)) == "", "a look is not due again"
    assert late.end("stop") == LOOP


def test_a_unit_may_say_something_twice() -> None:
    twice = rows(12, lambda number: f"Then to number {number}, as before. ")
    assert len(unit((twice * 2 + "And again. ") * 12 + twice * 2)) == 2 * len(twice) + 11


@given(st.text("ab\n", min_size=1, max_size=40), st.text(max_size=300))
def test_any_text_that_is_repeated_long_enough_is_a_loop(one: str, before: str) -> None:
    found = unit((before + one * (LEAST_SIGNS // len(one) + 40))[-LEAST_SIGNS:])
    assert found
    assert (one * 2).count(found[: len(one)]) > 0


@given(st.text(max_size=LEAST - 1))
def test_a_short_text_is_none(text: str) -> None:
    assert unit(text) == ""
    assert unit("x" * (LONGEST + 1) + text) in ("", "x")


# --- JSON

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "sizes": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("text", ['{"name": "a"}', ' {"name": "a", "sizes": [1, 2]}\n'])
def test_json_that_fits_is_good(text: str) -> None:
    assert wrong(*pieces(text, 4), expected=Expected(json=True, schema=SCHEMA)) == ""


@pytest.mark.parametrize(
    "text", ["Sure!", '{"name": "a"', '```json\n{"name": "a"}\n```', '{"a": NaN}', "half \ud83d"]
)
def test_what_is_no_json_is_told(text: str) -> None:
    assert wrong(Text(text), expected=JSON) == NO_JSON


@pytest.mark.parametrize("text", ["{}", "[1]", "3", '"x"'])
def test_any_json_will_do_without_a_schema(text: str) -> None:
    assert wrong(Text(text), expected=JSON) == ""


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("{}", "required"),
        ('{"name": 1}', "type"),
        ('{"name": "a", "sizes": [1, "2"]}', "type"),
        ('{"name": "a", "more": 1}', "additionalProperties"),
        ("[]", "type"),
    ],
)
def test_what_breaks_the_schema_is_told_without_a_word_of_it(text: str, keyword: str) -> None:
    said = wrong(Text(text), expected=Expected(json=True, schema=SCHEMA))
    assert said == f"the JSON breaks `{keyword}` of the schema that was asked for"


def test_a_call_or_a_refusal_may_come_instead() -> None:
    assert wrong(Text("Let me see."), *called("{}"), expected=JSON) == ""
    assert wrong(Refusal("I cannot."), expected=JSON) == ""


def test_a_long_text_is_not_looked_into() -> None:
    text = ", ".join(map(str, range(MOST_JSON // 5)))
    assert len(text) > MOST_JSON
    assert wrong(Text(text), expected=JSON) == ""
    assert wrong(*called("x")[:1], ToolArgs("c1", text), expected=PLAIN) == ""


def test_nobody_is_asked_what_is_expected_without_need() -> None:
    asked: list[int] = []

    def expected() -> Expected:
        asked.append(1)
        return PLAIN

    plain = Inspection(expected, json=False)
    assert [plain.see(Text("Hello.")), plain.end("stop")] == ["", ""]
    assert asked == []
    calling = Inspection(expected)
    for event in (*called("{}"), *called("{}", id="c2")):
        calling.see(event)
    assert asked == []
    assert calling.end("stop") == ""
    assert asked == [1]


# --- schemas that are none, or too much


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"required": "name"},
        {"properties": []},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"minimum": "many"},
        {"anyOf": [{"enum": "abc"}, {"required": "name"}]},
        {"type": "string", "description": "x" * MOST_SCHEMA},
        True,
        None,
        "a text",
    ],
)
def test_a_schema_that_is_none_tells_nothing(schema: Any) -> None:
    assert breach(schema, {"name": 1}) == ""


def test_a_reference_to_another_schema_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"type": "string"}')
    with warnings.catch_warnings(action="ignore"):
        assert breach({"$ref": (tmp_path / "other.json").as_uri()}, 1) == ""


@pytest.mark.parametrize(
    "draft", ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
)
def test_schemas_of_every_draft_are_read(draft: str) -> None:
    schema = {
        "$schema": draft,
        "definitions": {"size": {"$schema": draft, "format": "int32", "type": "integer"}},
        "properties": {"size": {"$ref": "#/definitions/size"}},
    }
    assert breach(schema, {"size": 1}) == ""
    assert breach(schema, {"size": "1"}) == "type"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 40 + "!"),
        (
            {"patternProperties": {"^(a+)+$": {"type": "string"}}, "additionalProperties": False},
            {"a" * 40 + "!": 1},
        ),
        ({"uniqueItems": True}, [{"a": number} for number in range(100_000)]),
        ({"format": "regex"}, "("),
        ({"not": {"pattern": "x"}}, "a"),
        ({"oneOf": [{"pattern": "x"}, {"pattern": "a"}]}, "a"),
        ({"if": {"pattern": "x"}, "then": False}, "a"),
    ],
)
def test_what_could_take_forever_is_not_checked(schema: Any, value: Any) -> None:
    assert breach(schema, value) == ""


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, "oneOf"),
        ({"anyOf": [{"required": ["a"]}, {"properties": {"name": {"const": 2}}}]}, "anyOf"),
        ({"properties": {"name": False}}, "false"),
        (False, "false"),
    ],
)
def test_what_cannot_be_otherwise_is_told(schema: Any, keyword: str) -> None:
    assert breach(schema, {"name": 1}) == keyword


def test_a_check_ends_after_so_many_steps() -> None:
    doubling = {f"d{number}": {"allOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2} for number in range(60)}
    schema = {"$defs": {**doubling, "d60": {"type": "integer"}}, "$ref": "#/$defs/d0"}
    assert breach(schema, 1) == ""
    assert breach({"items": {"enum": list(range(1_000))}}, [999] * 1_000) == ""
    assert breach({"items": {"enum": list(range(1_000))}}, ["x"] * 1_000) == "enum", "what is found first is told"


def test_a_schema_is_checked_only_when_there_is_something_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(schemas, "_check", asked.append)
    assert breach(SCHEMA, {"name": "a"}) == ""
    assert asked == []
    assert breach(SCHEMA, {}) == "required"
    assert asked == [{"allOf": [{"required": ["name"]}]}]


# --- calls

PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
TOOLS = Expected(tools={"look": (PARAMETERS, False), "strictly": (PARAMETERS, True), "bare": (None, True)})


@pytest.mark.parametrize(
    ("arguments", "name", "said"),
    [
        ('{"at": "x"}', "look", ""),
        ("{}", "look", ""),
        ("", "look", ""),
        (" \n", "look", ""),
        ('{"at": 1}', "look", ""),
        ('{"at": "x"}', "strictly", ""),
        ('{"at": 1}', "strictly", "a call whose arguments break `type` of its tool's parameters"),
        ("", "strictly", "a call whose arguments break `required` of its tool's parameters"),
        ("{}", "bare", ""),
        ("{}", "Look", NO_TOOL),
        ("{}", "", NO_TOOL),
        ("[]", "look", NO_OBJECT),
        ('"x"', "look", NO_OBJECT),
        ('{"at": "x', "look", NO_OBJECT),
        ('{"at": "x"}{}', "look", NO_OBJECT),
        ('{"_raw": "half \ud83d"}', "look", NO_OBJECT),
    ],
)
def test_a_call_is_judged(arguments: str, name: str, said: str) -> None:
    assert wrong(*called(arguments, name), expected=TOOLS, reason="tool_calls") == said
    assert wrong(*called("{}"), *called(arguments, name, "c2"), expected=TOOLS, reason="stop") == said


def test_names_are_not_judged_where_not_all_are_known() -> None:
    some = Expected(tools={"look": (PARAMETERS, False)}, all_tools=False)
    assert wrong(*called("a text", "of_the_vendor"), expected=some) == ""
    assert wrong(*called("a text", "look"), expected=some) == NO_OBJECT
    assert wrong(*called("{}", "any"), expected=PLAIN) == ""
    assert wrong(*called("no", "any"), expected=PLAIN) == NO_OBJECT


def test_a_call_can_be_judged_as_soon_as_it_is_complete() -> None:
    inspection = Inspection(lambda: TOOLS)
    for event in (Text("Let me "), Text("see."), *called('{"at": "x"}'), ToolStart("c2", "look", "signed")):
        assert inspection.see(event) == ""
    assert inspection.complete_call("c1") == ""
    inspection.see(ToolArgs("c2", "[1]"))
    assert inspection.complete_call("c2") == NO_OBJECT
    first, second = inspection.calls
    assert (first.id, first.name, first.arguments) == ("c1", "look", '{"at": "x"}')
    assert (second.arguments, second.signature) == ("[1]", "signed")
    assert inspection.text == "Let me see."


# --- what a request demands

LOOK = {"name": "look", "parameters": PARAMETERS}


def expected(dialect: str, **body: Any) -> Expected:
    return expected_of(DIALECTS[dialect], "chat", parse(dumps({"model": "m", **body})))


def chat(**body: Any) -> Expected:
    return expected("openai.chat", **{"messages": [{"role": "user", "content": "Hi"}], **body})


FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
HELLO = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai.chat", {"messages": HELLO, "response_format": FORMAT}),
        (
            "openai.responses",
            {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        ),
        (
            "anthropic.messages",
            {
                "messages": HELLO,
                "max_tokens": 9,
                "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            },
        ),
        (
            "gemini.generate",
            {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"responseJsonSchema": SCHEMA}},
        ),
    ],
)
def test_every_dialect_can_ask_for_a_schema(dialect: str, body: Mapping[str, Any]) -> None:
    asked = expected(dialect, **body)
    assert (asked.json, asked.schema) == (True, SCHEMA)
    assert asked.all_tools
    assert not asked.may_be_empty


def test_json_may_be_asked_for_without_a_schema_or_not_at_all() -> None:
    assert chat(response_format={"type": "json_object"}) == Expected(json=True)
    assert chat(response_format={"type": "text"}) == chat() == PLAIN
    assert not chat(response_format={"type": "grammar"}).json


def test_tools_are_known_by_name() -> None:
    tools = [
        {"type": "function", "function": {**LOOK, "strict": True}},
        {"type": "function", "function": {"name": "x"}},
    ]
    assert chat(tools=tools) == Expected(tools={"look": (PARAMETERS, True), "x": (None, False)})


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "function": LOOK}, {"type": "custom", "custom": {"name": "write"}}]},
        {"functions": [LOOK]},
    ],
)
def test_tools_that_a_conversation_cannot_say_leave_names_open(body: Mapping[str, Any]) -> None:
    assert not chat(**body).all_tools


@pytest.mark.parametrize(
    "body", [{"stop": ["\n"]}, {"messages": [*HELLO, {"role": "assistant", "content": '{"name": '}]}]
)
def test_a_part_of_an_answer_may_be_empty_and_is_no_json(body: Mapping[str, Any]) -> None:
    part = chat(response_format=FORMAT, **body)
    assert part.may_be_empty
    assert not part.json


def test_of_what_cannot_be_told_anything_is_good() -> None:
    assert chat(n=2) is ANYTHING
    assert chat(messages=[{"role": 7}]) is ANYTHING
    assert expected("openai.completions", prompt="Once upon") is ANYTHING
    assert expected_of(DIALECTS["openai.embeddings"], "embed", parse(b'{"model": "m", "input": "x"}')) is ANYTHING
    for events in ((), (Text("no JSON"),), called("a text", "unknown")):
        assert wrong(*events, expected=ANYTHING) == ""


def test_a_finish_alone_is_nothing_to_see() -> None:
    assert Inspection(lambda: PLAIN).see(Finish("stop")) == ""

"""Repairs: the contract, what is mended and what is not, the forms of calls, and how the work grows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import llmrouter_repair
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmrouter_repair.finding import MOST_TRIES, found
from llmrouter_repair.reading import DEEPEST
from llmrouter_repair.repairs import Mender

from llmrouter.protocols import RepairType
from llmrouter.testing.context import FakeContext
from llmrouter.testing.repair import RepairContract

MENDER = Mender(256 * 1024)


def descriptor() -> RepairType:
    [type_] = llmrouter_repair.llmrouter_register_repairs()
    return type_


class TestMender(RepairContract):
    def make(self) -> Mender:
        return MENDER

    def descriptor(self) -> RepairType:
        return descriptor()


# --- JSON

MENDED: Mapping[str, tuple[str, Any]] = {
    "a fence": ('```json\n{"a": 1}\n```', {"a": 1}),
    "a fence of tildes": ('~~~\n{"a": 1}\n~~~', {"a": 1}),
    "a fence and words": ("Here it is:\n\n```\n[1, 2]\n```\nAnything else?", [1, 2]),
    "a fence of another language": ('```python\nprint(1)\n```\n```json\n{"a": 1}\n```', {"a": 1}),
    "a fence without an end": ('```json\n{"a": 1}', {"a": 1}),
    "a fence on one line": ('```json {"a": 1}\n```', {"a": 1}),
    "thoughts before": ('<think>{"not": "this"}</think>\n{"a": 1}', {"a": 1}),
    "the end of thoughts inside": ('{"a": "</think>",}', {"a": "</think>"}),
    "words around": ('Sure! {"a": 1} is what you want [1].', {"a": 1}),
    "brackets before": ('As {name} said [see below]: {"a": 1}', {"a": 1}),
    "a semicolon": ('{"a": 1};', {"a": 1}),
    "a byte order mark": ('\ufeff{"a": 1,}', {"a": 1}),
    "an array on its own lines": ("The sizes:\n[1, 2, 3]\n", [1, 2, 3]),
    "a long value and a short one": ('like {"a": 1}: {"a": 2, "b": [1, 2, 3]}', {"a": 2, "b": [1, 2, 3]}),
    "trailing commas": ('{"a": [1, 2,], "b": {"c": 3,},}', {"a": [1, 2], "b": {"c": 3}}),
    "single quotes": ("{'a': 'b \"c\"', 'd': 'it\\'s'}", {"a": 'b "c"', "d": "it's"}),
    "typographic quotes": ("{“a”: “b”, ‘c’: „d“}", {"a": "b", "c": "d"}),
    "words of Python": ("{'a': True, 'b': [False, None]}", {"a": True, "b": [False, None]}),
    "names without quotes": ("{a: 1, $b_2: 2, c-d: 3}", {"a": 1, "$b_2": 2, "c-d": 3}),
    "comments": ('{"a": 1, // one\n # two\n "b": /* {"c": 3} */ 2}', {"a": 1, "b": 2}),
    "an address is no comment": ('{"a": "http://x.example",}', {"a": "http://x.example"}),
    "missing brackets": ('{"a": [{"b": "c"', {"a": [{"b": "c"}]}),
    "missing brackets after a word": ('{"a": [true', {"a": [True]}),
    "missing brackets in a fence": ('```json\n{"a": [1, 2]\n```', {"a": [1, 2]}),
    "control characters": ('{"a": "one\ntwo\tthree\x00"}', {"a": "one\ntwo\tthree\x00"}),
    "unknown escapes": (r'{"a": "\d+ \_ \(", }', {"a": r"\d+ \_ \("}),
    "known escapes": (r"""{'a': '\n\t\"\\\/\u00e9\ud83e\udd8a'}""", {"a": '\n\t"\\/é🦊'}),
    "an empty object on a line": ("Nothing was found:\n{ }", {}),
}


@pytest.mark.parametrize("name", MENDED)
def test_it_is_mended(name: str) -> None:
    spoiled, meant = MENDED[name]
    mended = MENDER.json(spoiled)
    assert mended is not None
    assert json.loads(mended) == meant


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1 "b": 2}',
        '{"a": 1,, "b": 2}',
        "[1, 2",
        "[1 2]",
        '["a" "b"]',
        '{"a": [1, 2}',
        '{"a": 01}',
        '{"a": .5}',
        '{"a": 1.}',
        '{"a": +1}',
        '{"a": 0x10}',
        '{"a": 1_000}',
        '{"a": 1e999}',
        '{"a": undefined}',
        "{1: 2}",
        "{a}",
        '{"a": }',
        '{"a"}',
        '{"a": 1 /* open}',
        '{"a": "it said "hi" there"}',
        "{'a': 'it's'}",
        r'{"a": "\x41",}',
        r'{"a": "\u12",}',
        r'{"a": "\ud83e",}',
        r'{"a": "\ud83e\u0041",}',
        r"{'a': '\ud83e\u0041'}",
        '{"a": "\\',
        '{"a": "\\\n",}',
        "The sizes are [1, 2, 3] as you see.",
        "As in [1], `{}` and x[0] = {}.",
        'Either {"a": 1} or {"a": 2}.',
        '```json\n{"a": 1}\n```\nor\n```json\n{"b": 2}\n```',
        '```json\n{"a": 1}\n```\nor\n```json\n{"b": "cut\n```',
        "```python\nprint({})\n```",
        '{"a": 1} and {"b": "cut',
    ],
)
def test_it_is_left_alone(text: str) -> None:
    assert MENDER.json(text) is None


def test_numbers_and_order_are_as_they_were_written() -> None:
    text = "{z: 1.50, a: 12345678901234567890123, z: -0.0, m: 1E+2,}"
    assert MENDER.json(text) == '{"z":1.50,"a":12345678901234567890123,"z":-0.0,"m":1E+2}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda one: (
        st.lists(one, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), one, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), JSON, min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(OBJECTS)
def test_python_in_words_is_read_as_python_meant_it(value: dict[str, Any]) -> None:
    said = repr(value)
    mended = MENDER.json(said)
    if "\\x" in said or "\\U" in said:  # escapes that JSON does not know
        return
    assert mended is not None
    assert json.loads(mended) == value


@settings(deadline=None, max_examples=40)
@given(OBJECTS, st.sampled_from(["Sure:\n", "```json\n", "", "I think so. "]))
def test_an_object_is_found_where_it_stands(value: dict[str, Any], before: str) -> None:
    mended = MENDER.json(before + json.dumps(value, ensure_ascii=False, indent=1))
    assert mended is not None
    assert json.loads(mended) == value


# --- bounds


def test_a_text_of_more_bytes_than_allowed_is_not_looked_at() -> None:
    mender = Mender(10)
    assert mender.json('{"a": 1 ,}') == '{"a":1}'
    assert mender.json('{"a": 1  ,}') is None
    assert mender.json('{"é": 1 ,}') is None


def test_what_is_too_deep_is_refused() -> None:
    assert MENDER.json("[" * DEEPEST + "'x'" + "]" * DEEPEST) is not None
    assert MENDER.json("[" * (DEEPEST + 1) + "'x'" + "]" * (DEEPEST + 1)) is None


ADVERSARIES: Mapping[str, Callable[[int], str]] = {
    "brackets": lambda size: "[" * size,
    "pairs": lambda size: "[]" * (size // 2),
    "objects": lambda size: '{"a":' * (size // 5),
    "names": lambda size: '{"' * (size // 2),
    "quotes": lambda size: '"' * size,
    "backslashes": lambda size: '{"a": "' + "\\" * size,
    "comments": lambda size: "{/*" * (size // 3),
    "line comments": lambda size: "[//" * (size // 3),
    "fences": lambda size: "```json\n[\n" * (size // 10),
    "ticks": lambda size: "`" * size + "`\n",
    "languages": lambda size: "```" + "a" * size + "`",
    "blanks": lambda size: "{" + " " * size + "x",
    "members": lambda size: "[" + "'a', " * (size // 5),
    "values": lambda size: "{'a': 1} " * (size // 9),
    "tags": lambda size: "<tool_call>" * (size // 11),
    "functions": lambda size: "<function=look>" * (size // 15),
    "open functions": lambda size: "<function=" + "a" * size,
    "invocations": lambda size: "<invoke " + " " * size,
    "parameters": lambda size: "<function=look><parameter=a>" * (size // 28),
    "open parameters": lambda size: '<function=look><parameter name="a" ' + " " * size,
    "heads": lambda size: "[TOOL_CALLS]look" + " " * size,
    "deepseek": lambda size: "<｜tool▁calls▁begin｜>" + "<｜tool▁call▁begin｜>" * (size // 60),
}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_work_grows_with_the_length_and_no_faster(name: str) -> None:
    """Lines of Python that are run, for a text of 16 KB and one of four times that."""
    text = ADVERSARIES[name]
    short, long = (lines(lambda size=size: attempt(text(size))) for size in (16_000, 64_000))
    assert long <= 5 * short + 1_000


def attempt(text: str) -> None:
    MENDER.json(text)
    MENDER.calls(text, ["look"])


def lines(work: Callable[[], None]) -> int:
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_of_many_beginnings_few_are_tried() -> None:
    before = "{x} " * (MOST_TRIES - 1)
    assert found(before + '{"a": 1}') == '{"a":1}'
    assert found("{x} " + before + '{"a": 1}') is None


# --- calls

ARGUMENTS = '{"at": "x", "deep": [1, 2.50]}'
FORMS: Mapping[str, str] = {
    "hermes": f'Let me see.\n<tool_call>\n{{"name": "look", "arguments": {ARGUMENTS}}}\n</tool_call>',
    "hermes without an end": f'<tool_call>{{"name": "look", "arguments": {ARGUMENTS}}}',
    "arguments as a text": f'<tool_call>{{"name": "look", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>',
    "spoiled": "<tool_call>{'name': 'look', 'arguments': {'at': 'x', 'deep': [1, 2.50,],},}</tool_call>",
    "a missing bracket": f'<tool_call>{{"name": "look", "arguments": {ARGUMENTS}</tool_call>',
    "a function": f"<function=look>{ARGUMENTS}</function>",
    "a function of elements": "<tool_call>\n<function=look>\n<parameter=at>\nx\n</parameter>\n"
    "<parameter=deep>\n[1, 2.50]\n</parameter>\n</function>\n</tool_call>",
    "invocations": '<function_calls>\n<invoke name="look">\n<parameter name="at">x</parameter>\n'
    '<parameter name="deep">[1, 2.50]</parameter>\n</invoke>\n</function_calls>',
    "invocations with a prefix": '<x:function_calls><x:invoke name="look"><x:parameter name="at">x</x:parameter>'
    '<x:parameter name="deep" string="false">[1, 2.50]</x:parameter></x:invoke></x:function_calls>',
    "a fence": f'I will look.\n```json\n{{"name": "look", "parameters": {ARGUMENTS}}}\n```',
    "tool code": f'```tool_code\n{{"name": "look", "arguments": {ARGUMENTS}}}\n```',
    "an object alone": f'{{"name": "look", "parameters": {ARGUMENTS}}}',
    "as an API has it": f'[{{"type": "function", "id": "1", "function": {{"name": "look", '
    f'"arguments": {json.dumps(ARGUMENTS)}}}}}]',
    "python": f'<|python_tag|>{{"name": "look", "parameters": {ARGUMENTS}}}',
    "mistral": f'[TOOL_CALLS][{{"name": "look", "arguments": {ARGUMENTS}}}]',
    "mistral by name": f"[TOOL_CALLS]look{ARGUMENTS}",
    "mistral by name and mark": f"[TOOL_CALLS]look[ARGS]{ARGUMENTS}",
    "deepseek": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{ARGUMENTS}<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>",
    "older deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n"
    f"```json\n{ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read(name: str) -> None:
    [call] = MENDER.calls(FORMS[name], ["other", "look"]) or ()
    assert call.name == "look"
    assert json.loads(call.arguments) == json.loads(ARGUMENTS)
    assert "2.50" in call.arguments


@pytest.mark.parametrize("name", FORMS)
def test_a_form_with_an_unknown_tool_is_none(name: str) -> None:
    assert MENDER.calls(FORMS[name], ["other"]) is None


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "look"}</tool_call><tool_call>{"name": "unknown"}</tool_call>',
        '<tool_call>{"name": "look"}</tool_call><tool_call>{"name": "lo',
        '<tool_call>{"name": "look", "arguments": {"at": "cut</tool_call>',
        '<tool_call>{"name": "look", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "look", "arguments": "x"}</tool_call>',
        '<tool_call>{"name": 1}</tool_call>',
        '<tool_call>{"function": 1}</tool_call>',
        '<tool_call>{"name": "look", "colour": "red"}</tool_call>',
        "<tool_call>[]</tool_call>",
        "<tool_call>[1]</tool_call>",
        "<tool_call>look</tool_call>",
        "<function=look>x</function>",
        "<function=look><parameter=at>cut",
        "[TOOL_CALLS]",
        "[TOOL_CALLS]look",
        "<｜tool▁calls▁begin｜>look",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{<｜tool▁call▁end｜>",
        '```json\n{"name": "look"}\n```\n```json\n{"a": 1}\n```',
        '{"name": "look", "parameters": {}}; {"name": "look", "parameters": {"at": "x"}}',
        'To call it, write {"name": "look", "arguments": {}}.',
    ],
)
def test_all_calls_or_none(text: str) -> None:
    assert MENDER.calls(text, ["look"]) is None


def test_several_calls_are_several() -> None:
    text = '[TOOL_CALLS][{"name": "look", "arguments": {"at": 1}}, {"name": "see"}]'
    calls = MENDER.calls(text, ["look", "see"]) or ()
    assert [(call.name, call.arguments) for call in calls] == [("look", '{"at": 1}'), ("see", "{}")]
    invoked = '<invoke name="look"></invoke>\n<invoke name="see"><parameter name="a">b</parameter></invoke>'
    calls = MENDER.calls(invoked, ["look", "see"]) or ()
    assert [(call.name, call.arguments) for call in calls] == [("look", "{}"), ("see", '{"a":"b"}')]


@pytest.mark.parametrize(
    ("element", "value"),
    [("12", 12), ("012", "012"), ("true", True), ('"x"', '"x"'), ("\na\nb\n", "a\nb"), ('{"a": 1}', {"a": 1}),
     ("<b>x</b>", "<b>x</b>"), ("", "")],
)  # fmt: skip
def test_an_element_is_json_or_a_text(element: str, value: Any) -> None:
    [call] = MENDER.calls(f"<function=look><parameter=at>{element}</parameter></function>", ["look"]) or ()
    assert json.loads(call.arguments) == {"at": value}


def test_it_is_built_with_its_bound() -> None:
    type_ = descriptor()
    built = type_.build(type_.config(), FakeContext("repair"))
    assert built == MENDER
    assert type_.build(type_.config(max_bytes=4), FakeContext("repair")) == Mender(4)

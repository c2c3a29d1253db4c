from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmrouter_provider_openai.bending import asking_for_reasoning, bent, counted, touched
from llmrouter_provider_openai.profile import Bend, load, names

from llmrouter.provider import read_data
from llmrouter.types import Fields, Op

EVERYTHING = Bend(
    rename={"max_completion_tokens": "max_tokens"},
    drop=frozenset({"user"}),
    keep=frozenset({"model", "messages", "tools", "tool_choice", "max_tokens"}),
    roles={"developer": "system"},
    message_keep={"assistant": {"role", "content", "tool_calls"}},
    call_ids=9,
    tool_choice={"required": "any", "named": None},
    tool_strip=frozenset({"strict"}),
    flatten=True,
    strip_nulls=True,
)


def opened(body: str) -> Fields:
    return msgspec.json.decode(body, type=Fields)


def shown(fields: Fields) -> str:
    return msgspec.json.encode(fields).decode()


def bend(body: str, op: Op = "chat", **how: Any) -> str:
    return shown(bent(opened(body), Bend(**how), op))


def test_a_field_gets_the_vendors_name_and_keeps_its_bytes() -> None:
    body = '{"max_completion_tokens": 1e2, "x": 0.10}'
    assert bend(body, rename={"max_completion_tokens": "max_tokens"}) == '{"max_tokens":1e2,"x":0.10}'


def test_a_field_that_was_sent_under_both_names_stays_as_it_is() -> None:
    body = '{"max_completion_tokens":1,"max_tokens":2}'
    assert bend(body, rename={"max_completion_tokens": "max_tokens"}) == body
    assert bend(body, rename={"max_completion_tokens": "max_tokens"}, keep=["max_tokens"]) == '{"max_tokens":2}'


def test_a_body_that_no_bend_touches_is_not_opened() -> None:
    strange = frozenset(read_data("llmrouter_provider_openai", "foreign.yaml"))
    assert touched(load("openai").request) == {"top_k"} | strange
    assert not strange & load("vllm").request.drop, "who does not mind is sent everything"
    assert touched(Bend(drop=["x"], roles={"a": "b"}, tool_choice={"c": None})) == {
        "x",
        "messages",
        "input",
        "tool_choice",
    }
    assert touched(Bend(keep=["x"])) is None
    assert touched(Bend()) == frozenset()


def test_thoughts_of_other_vendors_are_taken_out_where_they_are_refused() -> None:
    body = '{"messages":[{"role":"assistant","content":"x","reasoning_content":"hm"}]}'
    assert bend(body, message_strip=["reasoning_content"]) == '{"messages":[{"role":"assistant","content":"x"}]}'
    for name in ("groq", "cerebras"):
        assert "reasoning_content" in load(name).request.message_strip


def test_vendors_that_refuse_calls_without_thoughts_get_them() -> None:
    demanding = [name for name in names() if load(name).request.thoughts]
    assert demanding == ["deepseek", "moonshot"]
    assert all("openai.chat" in load(name).keeps for name in demanding)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, " "),
        ({"reasoning_content": ""}, " "),
        ({"reasoning_content": None, "reasoning": None}, " "),
        ({"reasoning": ["odd"]}, " "),
        ({"reasoning": "hm"}, "hm"),
        ({"reasoning_content": "mine", "reasoning": "hm"}, "mine"),
    ],
)
def test_a_turn_that_called_tools_tells_its_thoughts_where_that_is_demanded(
    said: dict[str, Any], told: str
) -> None:
    message = {"role": "assistant", "tool_calls": [{"id": "c"}], **said}
    body = json.dumps({"messages": [{"role": "user", "content": "x"}, message]})
    user, turn = json.loads(bend(body, thoughts=True))["messages"]
    assert turn["reasoning_content"] == told
    assert "reasoning_content" not in user


def test_no_thoughts_are_demanded_of_who_does_not_think_or_called_nothing() -> None:
    called = '{"messages":[{"role":"assistant","tool_calls":[{"id":"c"}]}],"thinking":{"type":"disabled"}}'
    silent = '{"messages":[{"role":"assistant","content":"x","tool_calls":[]}],"thinking":7}'
    assert bend(called, thoughts=True) == called
    assert bend(silent, thoughts=True) == silent


def test_fields_are_dropped_by_name_and_kept_by_name() -> None:
    body = '{"model":"m","user":"u","seed":1}'
    assert bend(body, drop=["user"]) == '{"model":"m","seed":1}'
    assert (
        bend(body, keep=["model", "random_seed"], rename={"seed": "random_seed"}) == '{"model":"m","random_seed":1}'
    )


def test_what_is_kept_of_a_chat_says_nothing_of_embeddings() -> None:
    body = '{"input":"a","dimensions":3,"messages":[{"role":"developer"}]}'
    how: dict[str, Any] = {
        "keep": ["messages"],
        "rename": {"dimensions": "output_dimension"},
        "roles": {"developer": "system"},
    }
    assert bend(body, "embed", **how) == '{"input":"a","output_dimension":3,"messages":[{"role":"developer"}]}'


def test_roles_are_renamed_and_the_rest_of_a_message_is_not_touched() -> None:
    body = '{"messages":[{"role":"developer","content":"\\u00e9","x":1.0},{"role": "user", "content": null}]}'
    assert bend(body, roles={"developer": "system"}) == (
        '{"messages":[{"role":"system","content":"\\u00e9","x":1.0},{"role":"user","content":null}]}'
    )


def test_messages_that_need_no_change_keep_their_bytes() -> None:
    body = '{"messages":[{"role": "user",  "content": "hi"}]}'
    assert bend(body, roles={"developer": "system"}, flatten=True, strip_nulls=True) == (
        '{"messages":[{"role": "user",  "content": "hi"}]}'
    )


def test_a_list_of_text_parts_becomes_one_text() -> None:
    parts = '[{"type":"text","text":"a\\n"},{"type": "text","text":"b","cache_control":{}}]'
    assert bend(f'{{"messages":[{{"role":"user","content":{parts}}}]}}', flatten=True) == (
        '{"messages":[{"role":"user","content":"a\\nb"}]}'
    )


@pytest.mark.parametrize(
    "content",
    ['[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]', '[{"type":"text"}]', "[1]", "[]", "7"],
)
def test_other_content_is_left_alone(content: str) -> None:
    body = f'{{"messages":[{{"role":"user","content":{content}}}]}}'
    assert bend(body, flatten=True) == body


def test_nulls_of_a_message_go_but_for_its_content() -> None:
    body = '{"messages":[{"role":"assistant","content":null,"function_call":null,"tool_calls":[]}]}'
    assert bend(body, strip_nulls=True) == '{"messages":[{"role":"assistant","content":null,"tool_calls":[]}]}'


def test_fields_of_messages_are_kept_by_the_vendors_name_of_their_role() -> None:
    body = '{"messages":[{"role":"developer","content":"a","name":"n"},{"role":"user","name":"n"}]}'
    assert bend(body, roles={"developer": "system"}, message_keep={"system": ["role", "content"]}) == (
        '{"messages":[{"role":"system","content":"a"},{"role":"user","name":"n"}]}'
    )


def test_ids_of_calls_are_made_to_fit_and_still_belong_together() -> None:
    call = '{"id":"%s","type":"function","function":{"name":"f"}}'
    body = '{"messages":[{"tool_calls":[%s,%s]},{"tool_call_id":"%s"},{"tool_call_id":"%s"}]}'
    long, short = "call_0123456789", "aB3dE6gH9"
    bent = msgspec.json.decode(bend(body % (call % long, call % short, long, short), call_ids=9))["messages"]
    first, second = [one["id"] for one in bent[0]["tool_calls"]]
    assert (first.isalnum(), len(first), second) == (True, 9, short)
    assert [one["tool_call_id"] for one in bent[1:]] == [first, second]


def test_ids_that_fit_keep_the_bytes_of_their_messages() -> None:
    body = '{"messages":[{"tool_calls": [ {"id": "aB3dE6gH9"} ]},{"tool_call_id":"aB3dE6gH9"},{"tool_calls":1}]}'
    assert bend(body, call_ids=9) == body


@pytest.mark.parametrize(
    ("choice", "becomes"),
    [
        ('"auto"', '{"tool_choice":"auto"}'),
        ('"required"', '{"tool_choice":"any"}'),
        ('{"type":"function","function":{"name":"f"}}', "{}"),
        ("[", None),
    ],
)
def test_a_tool_choice_gets_the_vendors_word_or_is_left_out(choice: str, becomes: str | None) -> None:
    fields = {"tool_choice": msgspec.Raw(choice.encode())}
    found = bent(fields, Bend(tool_choice={"required": "any", "named": None}), "chat")
    assert found == fields if becomes is None else shown(found) == becomes


def test_keys_of_functions_are_taken_out() -> None:
    tools = '[{"type":"function","function":{"name":"f","strict":true,"parameters":{"x": 1.0}}},{"type":"other"}]'
    assert bend(f'{{"tools":{tools}}}', tool_strip=["strict"]) == (
        '{"tools":[{"type":"function","function":{"name":"f","parameters":{"x": 1.0}}},{"type":"other"}]}'
    )
    plain = '{"tools":[{"type":"function","function":{"name": "f"}}]}'
    assert bend(plain, tool_strip=["strict"]) == plain


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "function", "strict", "id", "tool_calls", "tool_call_id"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["messages", "tools", "tool_choice", "user", "max_completion_tokens"]), _values)
)
def test_no_body_is_too_strange_to_be_bent(body: dict[str, Any]) -> None:
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    before = dict(fields)
    msgspec.json.decode(shown(bent(fields, EVERYTHING, "chat")))
    assert fields == before, "the fields of a call belong to the call"


def test_a_profile_that_bends_nothing_says_so() -> None:
    assert all(load(name).request == Bend() for name in ("custom", "litellm", "megallm", "anannas"))
    assert load("mistral").request != Bend()


def test_a_profile_bends_a_whole_request() -> None:
    body = (
        '{"model":"m","messages":[{"role":"developer","content":"c"}],"max_completion_tokens":5,"seed":1,'
        '"store":true,"tool_choice":"required","stream":true,"stream_options":{"include_usage":true}}'
    )
    assert shown(bent(opened(body), load("mistral").request, "chat")) == (
        '{"model":"m","messages":[{"role":"system","content":"c"}],"max_tokens":5,"random_seed":1,'
        '"tool_choice":"any","stream":true}'
    )


def test_a_function_in_one_level_is_stripped_as_well() -> None:
    body = '{"tools":[{"type":"function","name":"f","strict":true},{"type":"web_search"}]}'
    assert bend(body, tool_strip=["strict"]) == '{"tools":[{"type":"function","name":"f"},{"type":"web_search"}]}'


def test_roles_of_items_are_renamed_and_a_text_is_left() -> None:
    body = '{"input":[{"role":"developer","content":"x"},{"type":"reasoning"}]}'
    assert (
        bend(body, roles={"developer": "system"})
        == '{"input":[{"role":"system","content":"x"},{"type":"reasoning"}]}'
    )
    assert bend('{"input":"x"}', roles={"developer": "system"}) == '{"input":"x"}'


@pytest.mark.parametrize(
    ("include", "becomes"),
    [
        (None, ["reasoning.encrypted_content"]),
        ("null", ["reasoning.encrypted_content"]),
        ('["a"]', ["a", "reasoning.encrypted_content"]),
        ('["reasoning.encrypted_content"]', ["reasoning.encrypted_content"]),
        ("7", 7),
    ],
)
def test_a_model_that_reasons_is_asked_for_its_reasoning(include: str | None, becomes: Any) -> None:
    fields = {} if include is None else {"include": msgspec.Raw(include.encode())}
    assert msgspec.json.decode(asking_for_reasoning(fields)["include"]) == becomes


def test_a_count_is_told_what_it_counts_and_nothing_else() -> None:
    assert shown(counted(opened('{"model":"m","input":"x","store":false,"tools":[]}'))) == (
        '{"model":"m","input":"x","tools":[]}'
    )

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types import Completion

from llmrouter.dialects import Completions
from llmrouter.dialects.common import dumps, get, join, loads, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Begin,
    Conversation,
    Event,
    Facts,
    Fields,
    Finish,
    Frame,
    Image,
    Inputs,
    Message,
    Refusal,
    Request,
    Spent,
    Text,
    Thought,
    ToolCall,
    ToolStart,
    Trouble,
    Usage,
    Wire,
)

COMPLETIONS = Completions()
OTHER = Wire("openai.chat", True)
DONE = b"data: [DONE]\n\n"


def fields(**more: Any) -> Fields:
    return parse(dumps({"model": "m", "prompt": "Once"} | more))


def facts(**more: Any) -> Facts:
    return COMPLETIONS.facts("chat", fields(**more), {"x-llmrouter-task": "chat"})


def request(**more: Any) -> Request:
    return Request(msgspec.structs.replace(facts(**more), id="r1", at=5.5), fields(**more))


@pytest.mark.parametrize(
    ("prompt", "tokens", "native"),
    [
        ("", 0, False),
        ("word " * 8, 10, False),
        (["word word"], 2, False),
        (["a", "b"], 0, True),
        ([1, 2, 3], 3, True),
        ([[1, 2], [3]], 3, True),
    ],
)
def test_a_prompt_has_four_forms(prompt: Any, tokens: int, native: bool) -> None:
    found = facts(prompt=prompt)
    assert found.input_tokens == tokens
    assert found.needs == ({"completions_native"} if native else set())
    assert found.hints == {"task": "chat"}


@pytest.mark.parametrize("prompt", [[], None, 5, {"a": 1}, [1, "a"], [["a"]], [True], [1.5], [None]])
def test_a_prompt_of_another_form_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        facts(prompt=prompt)
    assert caught.value.param == "prompt"


def test_a_missing_prompt_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        COMPLETIONS.facts("chat", parse(b'{"model":"m"}'), {})
    assert (caught.value.param, caught.value.code) == ("prompt", "missing_required_parameter")


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"echo": True}, {"completions_native"}),
        ({"echo": False, "suffix": "", "best_of": 1, "n": 1, "logprobs": None}, set()),
        ({"suffix": "x"}, {"completions_native"}),
        ({"best_of": 3}, {"completions_native"}),
        ({"n": 2}, {"completions_native", "n"}),
        ({"logprobs": 0}, {"completions_native", "logprobs"}),
    ],
)
def test_what_a_chat_cannot_say_is_a_need_and_no_conversation(more: dict[str, Any], needs: set[str]) -> None:
    assert facts(**more).needs == needs
    assert needs <= COMPLETIONS.expresses
    if needs:
        with pytest.raises(InvalidRequest, match="cannot be asked of a chat"):
            COMPLETIONS.decode("chat", fields(**more))
    else:
        assert isinstance(COMPLETIONS.decode("chat", fields(**more)), Conversation)


@pytest.mark.parametrize("wrong", [{"max_tokens": "x"}, {"n": 0}, {"stream": 1}, {"echo": "yes"}, {"model": None}])
def test_wrong_kinds_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        facts(**wrong)
    assert caught.value.param in wrong


def test_temperature_zero_may_be_replayed() -> None:
    assert facts(temperature=0).replayable
    assert not facts().replayable
    assert not facts(temperature=0, echo=True).replayable


def test_one_text_is_one_question() -> None:
    found = COMPLETIONS.decode("chat", fields(prompt=["Once"], max_tokens=5, stop="x", user="u", made_up=1))
    options = {"max_output": 5, "stop": ["x"], "user": "u", "extra": {"made_up": 1}, "extra_of": "openai"}
    assert found == Conversation(messages=(Message("user", (Text("Once"),)),), options=options)


def test_what_is_read_is_written_back() -> None:
    body = {"prompt": "Once", "max_tokens": 5, "temperature": 0.5, "seed": 1, "logit_bias": {"5": 1}}
    encoded = COMPLETIONS.encode("chat", COMPLETIONS.decode("chat", fields(**body)))
    assert {name: loads(value) for name, value in encoded.fields.items()} == body
    assert encoded.dropped == ()


def test_a_conversation_is_written_down_as_a_dialogue() -> None:
    messages = (
        Message("system", (Text("Be"), Text("brief."))),
        Message("user", (Text("Hi"), Image("u"))),
        Message("assistant", (Text("Hello"), ToolCall("c", "f", "{}"))),
    )
    options = {"effort": "low", "format": {"type": "json_object"}, "extra": {"store": True}, "top_k": 3}
    conversation = Conversation(messages=messages, tools=({"name": "f"},), options=options)
    encoded = COMPLETIONS.encode("chat", conversation)
    assert get(encoded.fields, "prompt") == "system: Be\n\nbrief.\n\nuser: Hi\n\nassistant: Hello\n\nassistant:"
    assert set(encoded.fields) == {"prompt"}
    assert set(encoded.dropped) == {
        "messages.image", "messages.toolcall", "tools", "reasoning_effort", "response_format", "store", "top_k",
    }  # fmt: skip


def test_inputs_are_no_conversation() -> None:
    with pytest.raises(InvalidRequest, match="conversations only"):
        COMPLETIONS.encode("chat", Inputs(("x",)))


def test_aiming_sets_model_and_usage_only() -> None:
    aimed = COMPLETIONS.aim(fields(llmrouter={}, echo=True), "x", True)
    assert json.loads(join(aimed)) == {
        "model": "x",
        "prompt": "Once",
        "echo": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


BODY = (
    b'{"id":"a","object":"text_completion","created":1,"model":"m","choices":[{"text":"upon","index":0,"logprobs":null,'
    b'"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
STREAM = (
    b'data: {"id":"a","model":"m","choices":[{"text":" up","index":0,"finish_reason":null}],"usage":null}\n\n'
    b'data: {"id":"a","model":"m","choices":[{"text":"on","index":0,"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"id":"a","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
)


def read(data: bytes, stream: bool) -> list[Frame]:
    reader = COMPLETIONS.reader("chat", stream)
    return [*reader.feed(data), *reader.end()]


def test_a_body_and_a_stream_are_read() -> None:
    (frame,) = read(BODY, False)
    assert frame.wire == Wire("openai.completions", False)
    assert frame.events == (Begin("a", "m"), Text("upon"), Finish("length"), Spent(Usage(input=1, output=1)))
    assert [event for frame in read(STREAM + DONE, True) for event in frame.events] == [
        Begin("a", "m"),
        Text(" up"),
        Text("on"),
        Finish("stop"),
        Spent(Usage(input=1, output=2)),
    ]


def test_native_answers_are_the_very_bytes() -> None:
    writer = COMPLETIONS.writer(request())
    assert [writer.write(frame, True) for frame in read(BODY, False)] == [b""]
    assert writer.end() == BODY
    writer = COMPLETIONS.writer(request(stream=True, stream_options={"include_usage": True}))
    assert b"".join(writer.write(frame, True) for frame in read(STREAM, True)) + writer.end() == STREAM + DONE


ANSWER: list[Event] = [
    Begin("", ""), Thought("hm"), Text("a"), Refusal("b"), Text(""), ToolStart("c", "f"), Finish("tool_calls"),
    Spent(Usage(input=1, output=2)),
]  # fmt: skip


def test_a_chat_is_written_as_a_completion() -> None:
    writer = COMPLETIONS.writer(request())
    assert writer.write(Frame(OTHER, b"", tuple(ANSWER)), False) == b""
    body = json.loads(writer.end())
    Completion.model_validate(body)
    assert (body["id"], body["object"], body["created"], body["model"]) == ("cmpl-r1", "text_completion", 5, "m")
    assert body["choices"] == [{"text": "ab", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 3


def test_a_chat_is_streamed_as_completions() -> None:
    writer = COMPLETIONS.writer(request(stream=True, stream_options={"include_usage": True}))
    written = b"".join(writer.write(Frame(OTHER, b"", (event,)), False) for event in ANSWER) + writer.end()
    *parts, done, _ = written.split(b"\n\n")
    assert done == b"data: [DONE]"
    found = [json.loads(part.removeprefix(b"data: ")) for part in parts]
    assert [(one["text"], one["finish_reason"]) for chunk in found for one in chunk["choices"]] == [
        ("a", None),
        ("b", None),
        ("", "stop"),
    ]
    assert {(chunk["id"], chunk["object"]) for chunk in found} == {("cmpl-r1", "text_completion")}
    assert found[-1]["usage"]["total_tokens"] == 3


def test_a_refused_request_has_the_envelope_of_the_api() -> None:
    trouble = Trouble(status=401, kind="auth", code="invalid_api_key", message="No.")
    assert json.loads(COMPLETIONS.refuse(trouble))["error"]["code"] == "invalid_api_key"

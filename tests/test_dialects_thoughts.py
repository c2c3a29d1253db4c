"""Thoughts, signatures, files and cache marks of Chat Completions: read in every place, written in one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from llmrouter.dialects import Chat
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.dialects.noting import Turn, name_of
from llmrouter.dialects.signatures import MARK
from llmrouter.types import (
    Begin,
    CacheMark,
    Conversation,
    Encoded,
    Facts,
    Fields,
    File,
    Finish,
    Frame,
    Image,
    Keep,
    Message,
    Part,
    Request,
    Text,
    Thought,
    ToolCall,
    ToolOutput,
    ToolStart,
    Wire,
)

CHAT = Chat()
OTHER = "anthropic.messages"
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT_PIECE = {
    "type": "reasoning.text",
    "text": "hm",
    "signature": "sig",
    "format": "anthropic-claude-v1",
    "index": 0,
}
SEALED = {"type": "reasoning.encrypted", "data": "blob", "id": "rs_1", "format": "openai-responses-v1", "index": 0}


def fields(**body: Any) -> Fields:
    return parse(dumps({"model": "m", "messages": [USER]} | body))


def decoded(*messages: dict[str, Any], **body: Any) -> Conversation:
    payload = CHAT.decode("chat", fields(messages=list(messages) or [USER], **body))
    assert isinstance(payload, Conversation)
    return payload


def parts(**message: Any) -> tuple[Part, ...]:
    return decoded(message).messages[0].parts


def encoded(*said: Part, role: Any = "assistant", tools: Any = ()) -> tuple[list[dict[str, Any]], Encoded]:
    found = CHAT.encode("chat", Conversation(messages=(Message(role, said),), tools=tools))
    return loads(found.fields["messages"]), found


def answered(message: dict[str, Any]) -> list[Any]:
    body = dumps({"id": "1", "provider": "Acme", "choices": [{"message": message, "finish_reason": "stop"}]})
    reader = CHAT.reader("chat", False)
    return [event for frame in [*reader.feed(body), *reader.end()] for event in frame.events]


def told(*events: Any, stream: bool = False, dialect: str = OTHER) -> Any:
    facts = Facts(wire=Wire("openai.chat", stream), asked="m")
    writer = CHAT.writer(Request(facts, fields()))
    frame = Frame(Wire(dialect, stream), b"", (*events, Finish("stop")))
    said = writer.write(frame, False) + writer.end()
    if not stream:
        return json.loads(said)["choices"][0]["message"]
    chunks = [json.loads(one.removeprefix(b"data: ")) for one in said.split(b"\n\n")[:-2]]
    return [delta for chunk in chunks if len(delta := chunk["choices"][0]["delta"]) and "role" not in delta]


# --- thoughts


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_a_thought_is_read_under_all_its_names(message: dict[str, Any]) -> None:
    assert parts(role="assistant", **message) == (Thought("hm"),)
    assert [event for event in answered(message) if isinstance(event, Thought)] == [Thought("hm")]


def test_a_signed_piece_comes_back_to_its_vendor_as_it_was() -> None:
    answer = answered({"reasoning": "hm", "reasoning_details": [TEXT_PIECE, SEALED], "content": "x"})
    thoughts = [event for event in answer if isinstance(event, Thought)]
    assert [(one.text, one.redacted) for one in thoughts] == [("hm", False), ("", True)]
    kept = told(*thoughts, dialect="openai.chat")
    assert kept["reasoning_details"] == [TEXT_PIECE, SEALED]
    read = parts(role="assistant", reasoning_details=kept["reasoning_details"], content="x")
    assert [one.source for one in read if isinstance(one, Thought)] == ["openai.chat", "openai.chat"]
    (message,), found = encoded(*read)
    assert message == {"role": "assistant", "content": "x", "reasoning_content": "hm"} | {
        "reasoning_details": [TEXT_PIECE, SEALED]
    }
    assert found.dropped == ()


def test_a_piece_that_comes_after_its_text_signs_it() -> None:
    after = {name: value for name, value in TEXT_PIECE.items() if name != "text"}
    read = parts(role="assistant", reasoning_content="hm", reasoning_details=[after])
    (message,), _ = encoded(*read)
    assert message["reasoning_details"] == [TEXT_PIECE]


@pytest.mark.parametrize("stream", [False, True])
def test_a_signature_of_another_dialect_goes_to_the_client_marked_and_comes_back_whole(stream: bool) -> None:
    said = told(Thought("h"), Thought("m"), Thought("", "sig"), Thought("", "blob", redacted=True), stream=stream)
    pieces = said["reasoning_details"] if not stream else [
        piece for delta in said for piece in delta.get("reasoning_details", [])
    ]  # fmt: skip
    assert [piece["type"] for piece in pieces] == ["reasoning.text", "reasoning.encrypted"]
    assert [piece["index"] for piece in pieces] == [0, 1]
    read = parts(role="assistant", reasoning_content="hm", reasoning_details=pieces)
    assert read == (Thought("hm", "sig", OTHER), Thought("", "blob", OTHER, True))


def test_each_signed_thought_of_a_stream_has_its_own_text() -> None:
    said = told(Thought("one", "s1"), Text("x"), Thought("tw"), Thought("o", "s2"), stream=True)
    pieces = [piece for delta in said for piece in delta.get("reasoning_details", [])]
    assert [(piece["text"], piece["signature"].partition("#")[2]) for piece in pieces] == [
        ("one", "s1"),
        ("two", "s2"),
    ]


def test_foreign_signatures_are_left_out_and_reported() -> None:
    (message,), found = encoded(Thought("hm", "sig", OTHER), ToolCall("c1", "f", "{}", "sig", OTHER))
    assert message == {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]}
    assert found.dropped == ("messages.thought.signature", "messages.tool_calls.signature")


# --- signatures of calls


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [CALL | {"extra_content": {"google": {"thought_signature": "sig"}}}]},
        {"extra_content": {"google": {"thought": True, "thought_signature": "sig"}}, "tool_calls": [CALL]},
    ],
)
def test_the_signature_of_a_call_is_read(message: dict[str, Any]) -> None:
    assert ToolStart("c1", "f", "sig") in answered(message)


def test_only_the_first_call_has_the_signature_of_its_message() -> None:
    calls = [CALL, CALL | {"id": "c2"}]
    answer = answered({"extra_content": {"google": {"thought_signature": "sig"}}, "tool_calls": calls})
    assert [one.signature for one in answer if isinstance(one, ToolStart)] == ["sig", ""]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["openai.chat", "gemini.generate"])
def test_the_signature_of_a_call_reaches_the_client_and_comes_back(stream: bool, dialect: str) -> None:
    said = told(ToolStart("c1", "f", "sig"), stream=stream, dialect=dialect)
    (call, *_) = said["tool_calls"] if not stream else said[0]["tool_calls"]
    (read,) = parts(role="assistant", tool_calls=[CALL | {"extra_content": call["extra_content"]}])
    assert read == ToolCall("c1", "f", "{}", "sig", dialect)
    (message,), _ = encoded(read)
    own = {"extra_content": {"google": {"thought_signature": "sig"}}} if dialect == "openai.chat" else {}
    assert message["tool_calls"] == [CALL | own]


def test_who_serves_behind_the_provider_is_told() -> None:
    assert answered({"content": "x"})[0] == Begin("1", "", "Acme")


# --- what is not the vendor's


def test_marked_signatures_never_go_upstream_and_all_else_does() -> None:
    foreign = {"google": {"thought_signature": f"{MARK}gemini.generate#sig"}}
    theirs = {"type": "reasoning.text", "text": "hm", "signature": f"{MARK}{OTHER}#sig"}
    messages = [
        {"role": "user", "content": f'say "{MARK}x"'},
        {"role": "assistant", "tool_calls": [CALL | {"extra_content": foreign}], "reasoning_details": [theirs]},
        {"role": "assistant", "content": "x", "reasoning_details": [theirs, TEXT_PIECE]},
    ]
    aimed = CHAT.aim(fields(messages=messages), "m", False)
    assert loads(aimed["messages"]) == [
        messages[0],
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "content": "x", "reasoning_details": [TEXT_PIECE]},
    ]


def test_messages_without_marks_are_the_same_bytes() -> None:
    sent = parse(b'{"model": "m", "messages": [ {"role" : "user", "content": "' + MARK.encode() + b'"} ]}')
    assert bytes(CHAT.aim(sent, "m", False)["messages"]) == bytes(sent["messages"])


# --- turns that are wanted back


def kept(*thoughts: Thought, source: str = "openai.chat", **signatures: str) -> dict[str, bytes]:
    return {name_of("c1", {}): msgspec.json.encode(Turn(source, thoughts, signatures))}


def resolved(message: dict[str, Any], found: dict[str, bytes], **body: Any) -> dict[str, Any]:
    asked = fields(messages=[USER, {"role": "assistant"} | message], **body)
    said: dict[str, Any] = loads(CHAT.resolve(asked, found)["messages"])[1]
    return said


def test_a_turn_is_kept_and_put_back() -> None:
    (keep,) = [one for one in answered({"reasoning_content": "hm", "tool_calls": [CALL]}) if isinstance(one, Keep)]
    asked = fields(messages=[USER, {"role": "assistant", "tool_calls": [CALL]}])
    assert list(CHAT.names(asked)) == [keep.name]
    assert resolved({"tool_calls": [CALL]}, {keep.name: keep.value})["reasoning_content"] == "hm"


def test_the_signed_pieces_of_thoughts_are_put_back_as_they_came() -> None:
    told = answered({"reasoning": "hm", "reasoning_details": [TEXT_PIECE], "tool_calls": [CALL]})
    (keep,) = [one for one in told if isinstance(one, Keep)]
    ways: list[dict[str, Any]] = [{}, {"reasoning_content": ""}, {"reasoning": None, "reasoning_details": []}]
    for dropped in ways:
        message = resolved({"tool_calls": [CALL], **dropped}, {keep.name: keep.value})
        assert message["reasoning_details"] == [TEXT_PIECE]


def test_what_nobody_kept_is_the_same_bytes() -> None:
    asked = fields(messages=[USER, {"role": "assistant", "tool_calls": [CALL]}])
    assert CHAT.names(asked)
    assert CHAT.resolve(asked, {}) is asked
    assert CHAT.resolve(asked, kept(Thought("hm"), source=OTHER)) is asked


def test_signatures_of_calls_are_put_back() -> None:
    message = resolved({"tool_calls": [CALL, CALL | {"id": "c2"}]}, kept(c1="sig"))
    signed = CALL | {"extra_content": {"google": {"thought_signature": "sig"}}}
    assert message == {"role": "assistant", "tool_calls": [signed, CALL | {"id": "c2"}]}


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x"},
        {"tool_calls": []},
        {"tool_calls": [CALL], "reasoning_content": "mine"},
        {"tool_calls": [CALL], "reasoning": "mine"},
        {"tool_calls": [CALL], "reasoning_details": [TEXT_PIECE]},
    ],
)
def test_other_turns_are_the_same_bytes(message: dict[str, Any]) -> None:
    asked = fields(messages=[USER, {"role": "assistant"} | message])
    assert not CHAT.names(asked)
    assert CHAT.resolve(asked, {}) is asked


def test_nothing_is_put_back_where_thinking_is_off_or_nothing_can_be_read() -> None:
    for asked in (
        fields(messages=[{"role": "assistant", "tool_calls": [CALL]}], thinking={"type": "disabled"}),
        fields(messages=[{"role": "assistant", "tool_calls": "x"}]),
    ):
        assert CHAT.resolve(asked, kept(Thought("hm"))) is asked


# --- how much is to be thought


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"reasoning": {"effort": "high"}}, {"effort": "high"}),
        ({"reasoning": {"max_tokens": 9, "exclude": True}}, {"thinking_budget": 9, "thoughts": False}),
        ({"reasoning": {"enabled": False}}, {"effort": "none"}),
        ({"reasoning": {"enabled": True}}, {"thinking_budget": -1}),
        ({"thinking": {"type": "disabled"}}, {"effort": "none"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinking_budget": 9}),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, {"thinking_budget": -1, "effort": "max"}),
        ({"reasoning": {}}, {}),
        ({"thinking": True}, {"extra": {"thinking": True}, "extra_of": "openai"}),
    ],
)
def test_what_vendors_call_thinking_is_understood(asked: dict[str, Any], options: dict[str, Any]) -> None:
    assert decoded(**asked).options == options


# --- files and sounds


@pytest.mark.parametrize(
    ("part", "file"),
    [
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
            File("data:application/pdf;base64,QQ==", "a.pdf"),
        ),
        (
            {"type": "file", "file": {"filename": "a", "file_data": "https://x.example/a.pdf"}},
            File("https://x.example/a.pdf", "a"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            File("data:audio/mpeg;base64,QQ=="),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            File("data:audio/wav;base64,QQ=="),
        ),
    ],
)
def test_a_file_is_read_and_written_back(part: dict[str, Any], file: File) -> None:
    assert parts(role="user", content=[part]) == (file,)
    (message,), found = encoded(file, role="user")
    assert (message["content"], found.dropped) == ([part], ())


def test_a_file_without_a_name_gets_one_and_bare_base64_is_a_pdf() -> None:
    (read,) = parts(role="user", content=[{"type": "file", "file": {"file_data": "QQ=="}}])
    assert read == File("data:application/pdf;base64,QQ==")
    (message,), _ = encoded(read, role="user")
    assert message["content"][0]["file"]["filename"] == "file.pdf"


def test_a_sound_under_another_name_of_its_format_is_written_as_clients_know_it() -> None:
    (message,), _ = encoded(File("data:audio/x-wav;base64,QQ=="), role="user")
    assert message["content"] == [{"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]


def test_what_is_no_file_stands_in_extra() -> None:
    for part in (
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "file", "file": None},
        {"type": "input_audio", "input_audio": {"format": "wav"}},
    ):
        read = decoded({"role": "user", "content": [part]})
        assert read.messages[0].parts == ()
        assert read.options["extra"] == {f"messages[0].content[0].{part['type']}": part}


def test_pictures_and_files_of_a_tool_are_said_by_the_user_after_it() -> None:
    file = File("data:application/pdf;base64,QQ==", "a.pdf")
    messages, _ = encoded(ToolOutput("c1", (Text("x"), Image("u"), file)), role="user")
    assert [one["role"] for one in messages] == ["tool", "user"]
    assert [one["type"] for one in messages[1]["content"]] == ["image_url", "file"]


# --- cache marks

EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}


def test_marks_follow_what_they_mark() -> None:
    text = {"type": "text", "text": "x"}
    own = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
    assert parts(role="user", content=[text | {"cache_control": EPHEMERAL}, text | own]) == (
        Text("x"),
        CacheMark("1h"),
        Text("x"),
        CacheMark(""),
    )
    assert parts(role="system", content="x", cache_control={"type": "ephemeral"}) == (Text("x"), CacheMark(""))
    marked = parts(role="tool", tool_call_id="c1", content=[text | {"cache_control": EPHEMERAL}])
    assert marked == (ToolOutput("c1", (Text("x"),)), CacheMark("1h"))
    assert parts(role="tool", tool_call_id="c1", content="x", cache_control=EPHEMERAL) == marked
    assert parts(role="assistant", content="x", tool_calls=[CALL | {"cache_control": EPHEMERAL}]) == (
        Text("x"),
        ToolCall("c1", "f", "{}"),
        CacheMark("1h"),
    )


def test_a_tool_is_marked_too() -> None:
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": EPHEMERAL}
    assert decoded(tools=[tool]).tools == ({"name": "f", "cache": "1h"},)


def test_marks_are_not_written_but_reported() -> None:
    messages, found = encoded(
        ToolOutput("c1", (Text("x"),)), CacheMark("5m"), role="user", tools=({"name": "f", "cache": ""},)
    )
    assert messages == [{"role": "tool", "tool_call_id": "c1", "content": "x"}]
    assert loads(found.fields["tools"]) == [{"type": "function", "function": {"name": "f"}}]
    assert found.dropped == ("messages.cache_control", "tools.cache_control")

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from llmrouter import dialects
from llmrouter.engine.recording import Recorder, Tape, key
from llmrouter.engine.replays import Replays
from llmrouter.types import Begin, Frame, Keep, Request, Wire
from tests.house import plain, streamed

SPOKEN: dict[str, Any] = {one.name: one for one in dialects.builtin()}
CHAT = SPOKEN["openai.chat"]


def kept(body: bytes, stream: bool = False, spoken: Any = SPOKEN) -> bytes:
    wire = Wire("openai.chat", stream)
    recorder = Recorder(wire, "chat", "a/m")
    recorder.take(read(body, stream, spoken))
    found = recorder.done()
    assert found
    return found


def read(body: bytes, stream: bool, spoken: Any = SPOKEN) -> list[Frame]:
    reader = spoken["openai.chat"].reader("chat", stream)
    return [*reader.feed(body), *reader.end()]


def joined(steps: list[Any]) -> bytes:
    return b"".join(steps)


def bodies(frames: Iterable[Frame]) -> bytes:
    return b"".join([frame.raw for frame in frames])


@pytest.mark.parametrize("stream", [False, True])
def test_every_replay_is_what_an_upstream_with_that_id_would_have_sent(stream: bool) -> None:
    body = joined(streamed("hel", "lo") if stream else plain("hello"))
    tape = Tape(kept(body, stream), SPOKEN)
    for id in ("chatcmpl-one", 'chatcmpl-"two"'):
        said = body.replace(b'"chatcmpl-up"', msgspec.json.encode(id))
        assert [*tape.replay(SPOKEN, id)] == read(said, stream)
    assert tape.endpoint == "a/m"


def test_only_the_value_of_an_id_is_replaced() -> None:
    message = b'{"content":"up \\"id\\":\\"up\\""}'
    body = b'{"id":"up","model":"up","choices":[{"message":%s,"finish_reason":"stop"}]}' % message
    assert bodies(Tape(kept(body), SPOKEN).replay(SPOKEN, "new")) == body.replace(b'{"id":"up"', b'{"id":"new"')


def test_an_answer_of_gemini_gets_its_fresh_id_too() -> None:
    body = b'{"candidates":[{"content":{"parts":[{"text":"up"}]},"finishReason":"STOP"}],"responseId": "up"}'
    recorder = Recorder(Wire("gemini.generate", False), "chat", "a/m")
    reader = SPOKEN["gemini.generate"].reader("chat", False)
    recorder.take([*reader.feed(body), *reader.end()])
    tape = Tape(recorder.done() or b"", SPOKEN)
    assert bodies(tape.replay(SPOKEN, "new")) == body.replace(b': "up"}', b': "new"}')


def test_an_answer_without_an_id_stays_as_it_is() -> None:
    body = b'{"id":"","choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'
    assert bodies(Tape(kept(body), SPOKEN).replay(SPOKEN, "new")) == body


def test_what_names_its_answer_elsewhere_is_read_again_under_the_new_id() -> None:
    class Keeping:
        """A dialect whose answers can be referred to."""

        def reader(self, op: str, stream: bool) -> Any:
            return self

        def feed(self, data: bytes) -> list[Frame]:
            id = msgspec.json.decode(data)["id"]
            return [Frame(Wire("openai.chat", False), data, (Begin(id, "m"), Keep(id, b"")))]

        def end(self) -> list[Frame]:
            return []

    spoken = {"openai.chat": Keeping()}
    (frame,) = Tape(kept(b'{"id":"up"}', spoken=spoken), spoken).replay(spoken, "new")  # type: ignore[arg-type]
    assert frame.events == (Begin("new", "m"), Keep("new", b""))


def test_what_was_read_once_is_not_read_again() -> None:
    replays, bytes_ = Replays(), kept(joined(plain("hello")))
    assert replays.tape(bytes_, SPOKEN) is replays.tape(bytes(bytearray(bytes_)), SPOKEN)
    assert replays.tape(bytes_.replace(b"hello", b"other"), SPOKEN) is not replays.tape(bytes_, SPOKEN)


def test_the_key_of_a_body_is_its_own_client_by_client() -> None:
    def asked(client: str, content: str) -> Request:
        fields = {"model": msgspec.Raw(b'"m"'), "messages": msgspec.Raw(msgspec.json.encode([said(content)]))}
        facts = msgspec.structs.replace(CHAT.facts("chat", fields, {}), client=client)
        return Request(facts, fields)

    def said(content: str) -> dict[str, str]:
        return {"role": "user", "content": content}

    replays, first = Replays(), asked("a", "x")
    again = Request(msgspec.structs.replace(first.facts, client="b"), first.fields)
    keys = [replays.key(CHAT, one, shared=False) for one in (first, again, asked("a", "y"), first)]
    assert keys[0] == keys[3] == key(CHAT, first, "a")
    assert len(set(keys)) == 3
    assert replays.key(CHAT, first, shared=True) == replays.key(CHAT, again, shared=True) == key(CHAT, first, "")

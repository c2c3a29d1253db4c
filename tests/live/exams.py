"""What is asked of a vendor: small and cheap, and the same live, recorded and offline."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from attrs import frozen

from llmrouter.protocols import ListsModels
from llmrouter.testing.context import FakeContext
from llmrouter.types import (
    Call,
    Conversation,
    Documents,
    Event,
    Failure,
    Fault,
    Finish,
    Inputs,
    Message,
    Op,
    Payload,
    Result,
    Spent,
    Text,
    ToolArgs,
    ToolStart,
    Wire,
)

from .vendors import WRONG, Vendor

TOOL = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
REFUSED_KEYS = ("auth", "forbidden_model")
MOST = 400
"""Tokens of output: enough for a model that thinks first."""


class Refused(Exception):
    """The vendor said no."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.status} {failure.kind}: {failure.message}")
        self.failure = failure


@frozen
class Sitting:
    """A vendor's provider over one transport."""

    vendor: Vendor
    context: FakeContext

    async def ask(self, op: Op, payload: Payload, stream: bool = False, key: str = "") -> list[Event]:
        """What the answer means. Raises Refused."""
        dialect, endpoint = self.vendor.spoken(op), self.vendor.endpoint(op)
        fields = dialect.aim(dialect.encode(op, payload).fields, endpoint.model, stream)
        wire = Wire(dialect.name, stream)
        call = Call(endpoint=endpoint, account=endpoint.accounts[0], op=op, wire=wire, fields=fields)
        async with self.vendor.provider(self.context, key) as provider:
            reply = await provider.send(call)
            try:
                chunks = [chunk async for chunk in reply.chunks()]
            finally:
                reply.close()
            body = b"".join(chunks) if reply.status >= 400 else b""
            if failure := provider.judge(reply.status, reply.headers, body).failure:
                raise Refused(failure)
        reader = dialect.reader(op, stream)
        frames = [frame for chunk in chunks for frame in reader.feed(chunk)] + list(reader.end())
        events = [event for frame in frames for event in frame.events]
        assert not [event for event in events if isinstance(event, Fault)]
        assert [event for event in events if isinstance(event, Finish)]
        return events


def _conversation(text: str, **more: Any) -> Conversation:
    return Conversation(messages=(Message("user", (Text(text),)),), options={"max_output": MOST}, **more)


PONG = _conversation("Answer with the one word: pong")


async def chat(sitting: Sitting, stream: bool = False) -> None:
    events = await sitting.ask("chat", PONG, stream)
    assert "pong" in "".join([event.text for event in events if isinstance(event, Text)]).lower()
    assert [event for event in events if isinstance(event, Spent) and event.usage.prompt and event.usage.completion]


async def stream(sitting: Sitting) -> None:
    await chat(sitting, stream=True)


async def tool(sitting: Sitting) -> None:
    asked = _conversation("Call the tool for the weather of Oslo.", tools=(TOOL,))
    events = await sitting.ask("chat", asked)
    assert [event.name for event in events if isinstance(event, ToolStart)][:1] == ["weather"]
    first = next(event.id for event in events if isinstance(event, ToolStart))
    arguments = json.loads("".join([one.json for one in events if isinstance(one, ToolArgs) and one.id == first]))
    assert "oslo" in arguments["city"].lower()
    assert [event.reason for event in events if isinstance(event, Finish)] == ["tool_calls"]


async def models(sitting: Sitting) -> None:
    async with sitting.vendor.provider(sitting.context) as provider:
        assert isinstance(provider, ListsModels)
        found = await provider.models(sitting.vendor.name)
    assert found
    assert all(one.model and one.dialects for one in found)


async def bad_key(sitting: Sitting) -> None:
    op = next(iter(sitting.vendor.models))
    with pytest.raises(Refused) as caught:
        await sitting.ask(op, SMALL[op], key=WRONG)
    failure = caught.value.failure
    assert failure.kind in REFUSED_KEYS, failure
    assert failure.message
    assert WRONG not in failure.message


async def embeddings(sitting: Sitting) -> None:
    (vectors,) = _results(await sitting.ask("embed", SMALL["embed"]))
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 8
    assert all(isinstance(one, float | int) for one in vectors[0])


async def rerank(sitting: Sitting) -> None:
    (found,) = _results(await sitting.ask("rerank", SMALL["rerank"]))
    assert [hit.index for hit in found.hits][:1] == [1]
    scores = [hit.relevance_score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)


SMALL: Mapping[Op, Payload] = {
    "chat": PONG,
    "embed": Inputs(("a small text", "another one")),
    "rerank": Documents("What is the capital of Norway?", ("Bread is baked.", "Oslo is Norway's capital."), 2),
}

EXAMS: Mapping[str, Callable[[Sitting], Awaitable[None]]] = {
    "chat": chat,
    "stream": stream,
    "tool": tool,
    "models": models,
    "bad_key": bad_key,
    "embeddings": embeddings,
    "rerank": rerank,
}


def _results(events: list[Event]) -> list[Any]:
    return [event.value for event in events if isinstance(event, Result)]

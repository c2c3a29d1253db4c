"""Answers in the form of OpenAI chat completions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from attrs import frozen

from . import tokens
from .composing import Said, compose, prompt_tokens
from .requests import ChatBody
from .tools import Called
from .wire import Answer, Event, Limits, Stamp, check_stream, usage


def answer(body: ChatBody, stamp: Stamp, limits: Limits) -> Answer:
    """Raises Refused for a body that an upstream does not take."""
    check_stream(body)
    read = prompt_tokens(body)
    said = compose(body, limits.room(read, body.max_completion_tokens, body.max_tokens))
    spent = usage(read, sum(one.size for one in said))
    if body.stream:
        return Answer(events=_events(body, stamp, said, spent), tokens=spent["completion_tokens"])
    choices = [_choice(body, number, one) for number, one in enumerate(said)]
    whole = {**stamp.head("chatcmpl", "chat.completion"), "choices": choices, "usage": spent}
    return Answer(whole=whole, tokens=max(one.size for one in said))


def _choice(body: ChatBody, number: int, said: Said) -> Mapping[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.refusal:
        message |= {"content": None, "refusal": said.refusal}
    if said.calls:
        message |= {"content": None, "tool_calls": [_whole_call(one) for one in said.calls]}
    return {
        "index": number,
        "message": message,
        "logprobs": _logprobs(body, said, said.text or said.refusal),
        "finish_reason": said.finish,
    }


def _whole_call(called: Called) -> Mapping[str, Any]:
    if called.custom:
        return {"id": called.id, "type": "custom", "custom": {"name": called.name, "input": called.arguments}}
    return {"id": called.id, "type": "function", "function": {"name": called.name, "arguments": called.arguments}}


# --- a stream


def _events(body: ChatBody, stamp: Stamp, said: Sequence[Said], spent: Mapping[str, int]) -> Iterator[Event]:
    """Role first, then token by token, the answers taking turns; the usage last, where it was asked for."""
    head = stamp.head("chatcmpl", "chat.completion.chunk")
    tail = {"usage": None} if body.wants_usage else {}
    for turns in zip_longest(*(_deltas(body, one) for one in said)):
        for number, delta in enumerate(turns):
            if delta is not None:
                choice = {"index": number, "delta": delta.delta, "logprobs": delta.logprobs}
                choice["finish_reason"] = delta.finish
                yield Event({**head, "choices": [choice], **tail}, delta.token)
    if body.wants_usage:
        yield Event({**head, "choices": [], "usage": spent})


@frozen
class _Delta:
    delta: Mapping[str, Any]
    token: bool = False
    logprobs: Mapping[str, Any] | None = None
    finish: str | None = None


def _deltas(body: ChatBody, said: Said) -> Iterator[_Delta]:
    yield _Delta({"role": "assistant", "content": None if said.calls or said.refusal else "", "refusal": None})
    kind = "refusal" if said.refusal else "content"
    for token in tokens.split(said.text or said.refusal):
        yield _Delta({kind: token}, True, _logprobs(body, said, token))
    for number, called in enumerate(said.calls):
        yield from _call_deltas(number, called)
    yield _Delta({}, finish=said.finish)


def _call_deltas(number: int, called: Called) -> Iterator[_Delta]:
    """Id and name first; the arguments follow in pieces that have the index alone."""
    kind, field = ("custom", "input") if called.custom else ("function", "arguments")
    first = {"index": number, "id": called.id, "type": kind, kind: {"name": called.name, field: ""}}
    yield _Delta({"tool_calls": [first]}, True)
    for token in tokens.split(called.arguments):
        yield _Delta({"tool_calls": [{"index": number, kind: {field: token}}]}, True)


# --- log probabilities


def _logprobs(body: ChatBody, said: Said, text: str) -> Mapping[str, Any] | None:
    if not body.logprobs:
        return None
    entries = [_logprob(token, body.top_logprobs or 0) for token in tokens.split(text)]
    return {"content": None, "refusal": entries} if said.refusal else {"content": entries, "refusal": None}


def _logprob(token: str, top: int) -> Mapping[str, Any]:
    """Made up from the token itself; each alternative is less likely than the one before."""
    likely = logprob(token)
    first = {"token": token, "logprob": likely, "bytes": list(token.encode())}
    others = [
        {"token": f"{token}{number}", "logprob": likely - number, "bytes": list(f"{token}{number}".encode())}
        for number in range(1, top)
    ]
    return {**first, "top_logprobs": [first, *others] if top else []}


def logprob(token: str) -> float:
    """Between -1 and 0."""
    return -hashlib.sha256(token.encode()).digest()[0] / 256

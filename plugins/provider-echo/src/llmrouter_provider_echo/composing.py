"""From a request to what is said: the same for a plain answer and for a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from . import speech, tokens
from .patterns import NoSample
from .refusals import Refused
from .requests import ChatBody, Message, ResponseFormat
from .samples import sample
from .tools import Called, calls

Finish = Literal["stop", "length", "tool_calls"]
IMAGE_TOKENS = 85
MESSAGE_TOKENS = 3


@frozen(kw_only=True)
class Said:
    """One of the answers to a request."""

    text: str = ""
    refusal: str = ""
    calls: Sequence[Called] = ()
    finish: Finish = "stop"

    @property
    def size(self) -> int:
        """Tokens."""
        called = sum(tokens.count(one.name) + tokens.count(one.arguments) for one in self.calls)
        return tokens.count(self.text) + tokens.count(self.refusal) + called


def compose(body: ChatBody, limit: int | None) -> Sequence[Said]:
    """As many answers as were asked for, each of at most `limit` tokens. Raises Refused."""
    check(body)
    turn = _last_turn(body.messages)
    prompt = speech.Prompt(
        text=turn[0].text,
        images=turn[0].parts("image_url"),
        others=turn[0].parts("input_audio", "file"),
        results=_results(body.messages, turn[1:]),
    )
    return [_said(body, prompt, (body.seed or 0) + number, limit) for number in range(body.n or 1)]


def check(body: ChatBody) -> None:
    """What the types alone do not say. Raises Refused (400)."""
    if body.top_logprobs is not None and not body.logprobs:
        raise Refused(400, "'top_logprobs' is only allowed when 'logprobs' is true.", param="top_logprobs")
    if body.response_format and body.response_format.type == "json_schema" and not body.response_format.json_schema:
        raise Refused(400, "Missing 'response_format.json_schema'.", param="response_format.json_schema")
    if any(tool.type == "function" and tool.function is None for tool in body.tools or ()):
        raise Refused(400, "Missing required parameter: 'tools[].function'.", param="tools")
    asked = {call.id for message in body.messages for call in message.tool_calls or ()}
    for number, message in enumerate(body.messages):
        if message.role == "tool" and message.tool_call_id not in asked:
            problem = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            raise Refused(400, problem, param=f"messages.[{number}].role")
        if message.content is None and message.role in ("system", "developer", "user"):
            raise Refused(
                400, "Invalid value for 'content': expected a string.", param=f"messages.[{number}].content"
            )


def prompt_tokens(body: ChatBody) -> int:
    """Tokens of messages and tools; an image counts as much as a small one does at OpenAI."""
    said = sum(
        MESSAGE_TOKENS + tokens.count(one.text) + IMAGE_TOKENS * one.parts("image_url") for one in body.messages
    )
    called = [call.function for one in body.messages for call in one.tool_calls or () if call.function]
    told = sum(tokens.count(function.name + function.arguments) for function in called)
    functions = [tool.function for tool in body.tools or () if tool.function]
    offered = [f"{one.name}{one.description}{json.dumps(one.parameters)}" for one in functions]
    return said + told + sum(tokens.count(text) for text in offered)


def _last_turn(messages: Sequence[Message]) -> Sequence[Message]:
    """The last message of the user (or of the system, if there is none) and all that followed."""
    users = [place for place, one in enumerate(messages) if one.role == "user"]
    return messages[users[-1] if users else 0 :]


def _results(messages: Sequence[Message], after: Sequence[Message]) -> Sequence[tuple[str, str]]:
    """What tools returned last, with their names."""
    names = {call.id: call.function.name for one in messages for call in one.tool_calls or () if call.function}
    last = [one for one in after if one.role in ("tool", "function", "assistant")]
    answered = [place for place, one in enumerate(last) if one.role == "assistant"]
    fresh = last[answered[-1] + 1 :] if answered else last
    return [(names.get(one.tool_call_id or "", ""), one.text) for one in fresh]


def _said(body: ChatBody, prompt: speech.Prompt, variant: int, limit: int | None) -> Said:
    called = calls(body, prompt.text, bool(prompt.results))
    if called:
        return _cut_calls(called, limit)
    if speech.refuses(prompt.text):
        text, finish = cut("I'm sorry, but I can't help with that.", (), limit)
        return Said(refusal=text, finish=finish)
    text, finish = cut(_content(body.response_format, prompt, variant), body.stops, limit)
    return Said(text=text, finish=finish)


def _content(format: ResponseFormat | None, prompt: speech.Prompt, variant: int) -> str:
    if format is None or format.type == "text":
        return speech.answer(prompt, variant)
    if format.json_schema is None:
        return _json({"answer": speech.answer(prompt, variant)})
    try:
        return _json(sample(format.json_schema.schema))
    except NoSample as error:
        param = "response_format.json_schema.schema"
        raise Refused(400, f"Invalid schema for response_format: {error}.", param=param) from None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def cut(text: str, stops: Sequence[str], limit: int | None) -> tuple[str, Literal["stop", "length"]]:
    """The text up to the first stop sequence, and up to `limit` tokens."""
    if found := [text.index(one) for one in stops if one and one in text]:
        text = text[: min(found)]
    if limit is not None and tokens.count(text) > limit:
        return text[: limit * tokens.SIZE], "length"
    return text, "stop"


def _cut_calls(called: Sequence[Called], limit: int | None) -> Said:
    """Calls that fit into `limit` tokens; what is cut off in the middle says so."""
    said = Said(calls=called, finish="tool_calls")
    if limit is None or said.size <= limit:
        return said
    first = called[0]
    left = max(limit - tokens.count(first.name), 0) * tokens.SIZE
    short = Called(id=first.id, name=first.name, arguments=first.arguments[:left], custom=first.custom)
    return Said(calls=[short], finish="length")

"""`openai.completions`: the older Completions, a prompt and its continuation.

Source: the API reference of `POST /v1/completions`. A request that is no more than one text can be asked of a
chat too; all others need an upstream that speaks this dialect itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Conversation,
    Encoded,
    Event,
    Facts,
    Fields,
    Finish,
    Message,
    Op,
    Payload,
    Refusal,
    Request,
    Text,
    Trouble,
    Wire,
)

from . import hints
from .checks import Kinds, check_kinds, require, values, whole
from .common import dumps, raw
from .errors import envelope
from .fold import Fold
from .openai_answers import AnswerMeaning
from .openai_chat import MOST_CHOICES, aim
from .openai_conversation import read_options, write_options
from .openai_inputs import Input, count_tokens, read_inputs
from .openai_writers import PlainWriter, StreamWriter
from .reader import AnswerReader

NAME = "openai.completions"

KINDS: Mapping[str, Kinds] = {
    "model": ("string",),
    "stream": ("boolean",),
    "stream_options": ("object",),
    "stop": ("string", "array"),
    "suffix": ("string",),
    "echo": ("boolean",),
    "logit_bias": ("object",),
    "user": ("string",),
} | dict.fromkeys(
    ("n", "best_of", "logprobs", "max_tokens", "temperature", "top_p", "seed", "presence_penalty",
     "frequency_penalty"),
    ("number",),
)  # fmt: skip

LARGE = frozenset({"prompt"})
_ELSEWHERE = frozenset({"prompt", "echo", "suffix", "best_of"})


class Completions:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat"})
    paths: Mapping[str, Op] = {"/v1/completions": "chat"}
    expresses = frozenset({"completions_native", "logprobs", "n"})

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        require(fields, "model", "string")
        said = values(fields, LARGE)
        check_kinds(said, KINDS)
        prompts = read_inputs(fields, "prompt")
        needs = _needs(said, prompts)
        own = hints.from_body(said.get(hints.FIELD))
        return Facts(
            op=op,
            wire=Wire(NAME, bool(said.get("stream"))),
            asked=said["model"],
            hints=hints.hints(own, headers),
            needs=needs,
            input_tokens=count_tokens(prompts),
            max_output=whole(said.get("max_tokens"), "max_tokens", 0),
            session=hints.session(own, headers, said.get("session_id"), said.get("user")),
            replayable=not needs and said.get("temperature") == 0,
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        """Raises InvalidRequest for what only this dialect can say; its need keeps such requests here."""
        prompts = read_inputs(fields, "prompt")
        if needs := _needs(values(fields, LARGE), prompts):
            raise InvalidRequest(f"this prompt cannot be asked of a chat ({', '.join(sorted(needs))})")
        messages = (Message("user", (Text(str(prompts[0])),)),)
        return Conversation(messages=messages, options=read_options(fields, {}, _ELSEWHERE))

    def encode(self, op: Op, payload: Payload) -> Encoded:
        """One question is the prompt; a conversation is written down as a dialogue to go on with."""
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        dropped: list[str] = []
        fields: Fields = {"prompt": raw(_prompt(payload.messages, dropped))}
        for name, value in write_options(payload.options, dropped).items():
            name = "max_tokens" if name == "max_completion_tokens" else name
            if name in KINDS:
                fields[name] = value
            else:
                dropped.append(name)
        dropped.extend(["tools"] if payload.tools else ())
        return Encoded(fields, tuple(dict.fromkeys(dropped)))

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        return aim(fields, model, stream)

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, stream, AnswerMeaning())

    def writer(self, request: Request) -> StreamWriter | PlainWriter:
        return TextStreamWriter(request) if request.facts.wire.stream else TextPlainWriter(request)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))


class TextStreamWriter(StreamWriter):
    object = "text_completion"
    prefix = "cmpl-"

    def _open(self) -> bytes:
        return b""

    def _choices(self, event: Event) -> list[dict[str, Any]]:
        match event:
            case Text(text) | Refusal(text) if text:
                return [_choice(text, None)]
            case Finish(reason):
                return [_choice("", _reason(reason))]
        return []


class TextPlainWriter(PlainWriter):
    object = "text_completion"
    prefix = "cmpl-"

    def _choice(self, fold: Fold) -> dict[str, Any]:
        return _choice(fold.text + fold.refusal, _reason(fold.reason))


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}


def _reason(reason: str) -> str:
    return "stop" if reason == "tool_calls" else reason


def _needs(said: Mapping[str, Any], prompts: tuple[Input, ...]) -> frozenset[str]:
    needs = set[str]()
    if (whole(said.get("n"), "n", 1, MOST_CHOICES) or 1) > 1:
        needs.add("n")
    if said.get("logprobs") is not None:
        needs.add("logprobs")
    more = (
        said.get("echo") or said.get("suffix") or (whole(said.get("best_of"), "best_of", 1, MOST_CHOICES) or 1) > 1
    )
    if needs or more or len(prompts) != 1 or not isinstance(prompts[0], str):
        needs.add("completions_native")
    return frozenset(needs)


def _prompt(messages: tuple[Message, ...], dropped: list[str]) -> str:
    turns: list[tuple[str, str]] = []
    for message in messages:
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        turns.append((message.role, "\n\n".join(texts)))
        others = [part for part in message.parts if not isinstance(part, Text)]
        dropped.extend([f"messages.{type(part).__name__.lower()}" for part in others])
    if len(turns) == 1 and turns[0][0] == "user":
        return turns[0][1]
    return "".join([f"{role}: {text}\n\n" for role, text in turns]) + "assistant:"

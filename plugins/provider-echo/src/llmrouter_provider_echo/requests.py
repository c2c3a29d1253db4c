"""The bodies that are understood, as OpenAI's reference describes them; unknown fields are let pass.

A field that is null counts as absent: that is how real clients send what they do not set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from llmrouter.types import Fields

from .refusals import Refused

Text = str | None
Share = Annotated[float, Meta(ge=-2, le=2)]
Several = Annotated[int, Meta(ge=1, le=128)]
Positive = Annotated[int, Meta(ge=1)]


class Part(Struct):
    """A part of a message: text, an image, sound or a file."""

    type: str
    text: str = ""


class PastFunction(Struct):
    name: str
    arguments: str = ""


class PastCall(Struct):
    id: str = ""
    function: PastFunction | None = None


class Message(Struct):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[PastCall] | None = None
    tool_call_id: Text = None

    @property
    def text(self) -> str:
        if not isinstance(self.content, list):
            return self.content or ""
        return "\n".join(part.text for part in self.content if part.text)

    def parts(self, *types: str) -> int:
        return sum(part.type in types for part in self.content) if isinstance(self.content, list) else 0


class Function(Struct):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: Text = None
    parameters: dict[str, Any] | None = None


class CustomTool(Struct):
    name: str


class Tool(Struct):
    """`function`, `custom`, or a type that is not known here and never called."""

    type: str
    function: Function | None = None
    custom: CustomTool | None = None

    @property
    def name(self) -> str:
        named = self.function if self.type == "function" else self.custom if self.type == "custom" else None
        return named.name if named else ""


class JSONSchema(Struct):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any] = {}


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


class Sampling(Struct, kw_only=True):
    """What chat and plain completions have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Several | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    max_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Share | None = None
    frequency_penalty: Share | None = None

    @property
    def stops(self) -> Sequence[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatBody(Sampling, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class CompletionBody(Sampling, kw_only=True):
    prompt: str | list[str | int | list[int]] = "<|endoftext|>"
    echo: bool | None = None
    suffix: Text = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None


class EmbeddingsBody(Struct, kw_only=True):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: float | None = None  # some clients send 256.0
    encoding_format: Literal["float", "base64"] | None = None


Body = TypeVar("Body", bound=Struct)


def read(fields: Fields, type_: type[Body]) -> Body:
    """A body as it was meant. Raises Refused (400) that names the field at fault."""
    try:
        return msgspec.json.decode(msgspec.json.encode(fields), type=type_)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise Refused(400, what, param=where.rstrip("`") or _named(what)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(400, f"We could not parse the JSON body of your request: {error}") from None


def _named(message: str) -> str | None:
    """The field in "Object missing required field `messages`"."""
    found = re.search(r"required field `(\w+)`", message)
    return found[1] if found else None

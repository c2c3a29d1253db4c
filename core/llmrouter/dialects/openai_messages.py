"""Messages of Chat Completions ⇄ messages of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from llmrouter.errors import InvalidRequest
from llmrouter.types import CacheMark, File, Image, Message, Part, Refusal, Text, Thought, ToolCall, ToolOutput

from .common import dumps
from .openai_media import MARKS, cache_marks, read_file, read_sound, written_file
from .openai_thoughts import NAME, google_signature, read_thinking, read_turn, signed, sourced, written_thoughts
from .reading import as_object, each, leave, text_of
from .signatures import untagged

ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_OUTPUTS = ("tool", "function")
_READ = frozenset({"role", "content", *MARKS})
_READ_OUTPUT = _READ | {"tool_call_id", "name"}
_READ_ASSISTANT = (
    _READ
    | {"refusal", "tool_calls", "function_call"}
    | {
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "extra_content",
    }
)


# --- read


def read_messages(wire: Any, extra: dict[str, Any]) -> tuple[Message, ...]:
    """What a message cannot say goes into `extra` by its place. Raises InvalidRequest."""
    return tuple([_message(one, place, extra) for place, one in each(wire, "messages")])


def _message(wire: Any, place: str, extra: dict[str, Any]) -> Message:
    role = as_object(wire, place).get("role")
    content = wire.get("content")
    if role in _OUTPUTS:
        leave(wire, _READ_OUTPUT, place, extra)
        return Message("user", tuple(_output(wire, place, extra)))
    if role == "assistant":
        leave(wire, _READ_ASSISTANT, place, extra)
        return Message("assistant", (*_assistant(wire, place, extra), *cache_marks(wire)))
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"{place}.role is {role!r}, which no dialect knows", param=f"{place}.role")
    leave(wire, _READ, place, extra)
    return Message(ROLES[role], (*_parts(content, place, extra), *cache_marks(wire)))


def _output(wire: Mapping[str, Any], place: str, extra: dict[str, Any]) -> Iterator[Part]:
    parts = list(_parts(wire.get("content"), place, extra))
    said = tuple([part for part in parts if isinstance(part, Text | Image | File)])
    yield ToolOutput(_output_id(wire, place), said)
    yield from [part for part in parts if isinstance(part, CacheMark)][-1:] or cache_marks(wire)


def _assistant(wire: Mapping[str, Any], place: str, extra: dict[str, Any]) -> Iterator[Part]:
    yield from read_turn(wire)
    yield from _parts(wire.get("content"), place, extra)
    if refusal := wire.get("refusal"):
        yield Refusal(text_of(refusal, f"{place}.refusal"))
    for at, call in each(wire.get("tool_calls"), f"{place}.tool_calls"):
        if as_object(call, at).get("type", "function") == "function":
            yield _call(call.get("id"), call.get("function"), at, google_signature(call.get("extra_content")))
            yield from cache_marks(call)
        else:
            extra[at] = call
    if function := wire.get("function_call"):
        at = f"{place}.function_call"
        yield _call(as_object(function, at).get("name"), function, at)


def _parts(content: Any, place: str, extra: dict[str, Any]) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
        return
    for at, part in each(content, f"{place}.content"):
        yield from _part(as_object(part, at), at, extra)
        yield from cache_marks(part)


def _part(part: Mapping[str, Any], at: str, extra: dict[str, Any]) -> Iterator[Part]:
    kind = part.get("type")
    said: Part | None = None
    match kind:
        case "text":
            leave(part, ("type", "text", *MARKS), at, extra)
            said = Text(text_of(part.get("text"), f"{at}.text"))
        case "image_url":
            leave(part, ("type", "image_url", *MARKS), at, extra)
            said = _image(part.get("image_url"), f"{at}.image_url")
        case "file":
            said = read_file(part.get("file"))
        case "input_audio":
            said = read_sound(part.get("input_audio"))
        case "refusal":
            said = Refusal(text_of(part.get("refusal"), f"{at}.refusal"))
        case "thinking":
            said = sourced(read_thinking(part))
    if said is None:
        extra[f"{at}.{kind}"] = part
    else:
        yield said


def _image(wire: Any, place: str) -> Image:
    if isinstance(wire, str):
        return Image(wire)
    url = text_of(as_object(wire, place).get("url"), f"{place}.url")
    return Image(url, text_of(wire.get("detail") or "", f"{place}.detail"))


def _call(id: Any, function: Any, place: str, signature: str = "") -> ToolCall:
    said = as_object(function, f"{place}.function")
    arguments = said.get("arguments")
    if not isinstance(arguments, str):
        arguments = dumps(arguments or {}).decode()
    name = text_of(said.get("name"), f"{place}.function.name")
    return ToolCall(text_of(id, f"{place}.id"), name, arguments, *untagged(signature, NAME))


def _output_id(wire: Mapping[str, Any], place: str) -> str:
    """A `function` message names the function: the calls of that old form have no id but the name."""
    return text_of(wire.get("tool_call_id") or wire.get("name"), f"{place}.tool_call_id")


# --- written


def write_messages(messages: Iterable[Message], dropped: list[str]) -> list[dict[str, Any]]:
    """One message may become several: every tool output is a message of its own, and holds text only."""
    written: list[dict[str, Any]] = []
    for message in messages:
        parts = [part for part in message.parts if not isinstance(part, CacheMark)]
        if len(parts) < len(message.parts):
            dropped.append("messages.cache_control")
        for output in [part for part in parts if isinstance(part, ToolOutput)]:
            parts.remove(output)
            written.append(_written_output(output, dropped))
            parts.extend([part for part in output.content if isinstance(part, Image | File)])
        if message.role == "assistant":
            written.append(_written_assistant(parts, dropped))
        elif parts or not message.parts:
            written.append({"role": message.role, "content": _content(parts, dropped)})
    return written


def _written_output(output: ToolOutput, dropped: list[str]) -> dict[str, Any]:
    if output.error:
        dropped.append("messages.tool_output.error")
    texts = [part for part in output.content if isinstance(part, Text)]
    return {"role": "tool", "tool_call_id": output.id, "content": _content(texts, dropped)}


def _written_assistant(parts: Iterable[Part], dropped: list[str]) -> dict[str, Any]:
    parts = list(parts)
    said = [part for part in parts if isinstance(part, Text | Image | File)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    message: dict[str, Any] = {"role": "assistant", "content": _content(said, dropped) if said else None}
    if not said and not calls and not refusals:
        message["content"] = ""
    message |= written_thoughts([_own(part, dropped) for part in parts if isinstance(part, Thought)])
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = [_written_call(call, dropped) for call in calls]
    return message


def _own(thought: Thought, dropped: list[str]) -> Thought:
    """The thought without the signature of another vendor."""
    if not thought.signature or thought.source == NAME:
        return thought
    dropped.append("messages.thought.signature")
    return Thought(thought.text)


def _written_call(call: ToolCall, dropped: list[str]) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    written: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
    if call.signature and call.source != NAME:
        dropped.append("messages.tool_calls.signature")
        return written
    return signed(written, call.signature, NAME)


def _content(parts: Iterable[Part], dropped: list[str]) -> str | list[dict[str, Any]]:
    """A string where one says it all: many compatible upstreams know nothing else."""
    parts = list(parts)
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [one for part in parts if (one := _written_part(part, dropped)) is not None] or ""


def _written_part(part: Part, dropped: list[str]) -> dict[str, Any] | None:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(url, detail):
            return {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}
        case File():
            return written_file(part)
    dropped.append(f"messages.{type(part).__name__.lower()}")
    return None

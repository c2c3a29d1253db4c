"""What vendors of Chat Completions demand back of earlier turns, and what is none of their business.

DeepSeek and Moonshot refuse a conversation whose calls of tools come without the thoughts that led to them; models
behind OpenRouter want their signed pieces back. What stands for thoughts that are lost is for a provider to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.types import Fields

from .calls import arguments_of
from .common import decode, get, loads, raw
from .noting import Turn, name_of, recalled
from .openai_thoughts import NAME, as_list, google_signature, is_foreign, signed, written_thoughts
from .signatures import MARK

_MARKED = b'"' + MARK.encode()
_RARE = _MARKED[1]
"""A byte of it that hardly any text holds; to look for a byte costs less than for several."""
_NULL = msgspec.Raw(b"null")
_NOTHING = (b"null", b'""', b"[]")


class Function(msgspec.Struct, gc=False, frozen=True):
    arguments: Any = ""


class Called(msgspec.Struct, gc=False):
    id: str = ""
    function: Function = Function()

    @property
    def name(self) -> str:
        said = self.function.arguments
        return name_of(self.id, arguments_of(said) if isinstance(said, str) else said)


class Said(msgspec.Struct, gc=False):
    role: str = ""
    reasoning_content: msgspec.Raw = _NULL
    reasoning: msgspec.Raw = _NULL
    reasoning_details: msgspec.Raw = _NULL
    tool_calls: list[Called] | None = None


_said = msgspec.json.Decoder(list[Said])
_opened = msgspec.json.Decoder(list[Fields])
_calls = msgspec.json.Decoder(list[dict[str, Any]])


def names(fields: Fields) -> Sequence[str]:
    """The names of turns that came back without their thoughts."""
    return list(_bare(fields).values())


def resolve(fields: Fields, found: Mapping[str, bytes]) -> Fields:
    """The fields with every such turn that was kept as its vendor said it."""
    turns = {at: turn for at, name in _bare(fields).items() if (turn := recalled(found, name, NAME))}
    if not turns:
        return fields
    messages = decode(_opened, fields["messages"])
    for at, turn in turns.items():
        _put_back(messages[at], turn)
    return fields | {"messages": raw(messages)}


def own(messages: msgspec.Raw) -> msgspec.Raw:
    """The messages without the signatures that other vendors gave; the same bytes where there are none."""
    found = bytes(messages)
    if _RARE not in found or _MARKED not in found:
        return messages
    try:
        opened = _opened.decode(messages)
    except msgspec.MsgspecError:
        return messages
    changed = False
    for message in opened:
        for name, kept in (("reasoning_details", _own_details), ("tool_calls", _own_calls)):
            if _MARKED in bytes(message.get(name, b"")):
                changed = True
                if left := kept(loads(message[name])):
                    message[name] = raw(left)
                else:
                    del message[name]
    return raw(opened) if changed else messages


def _bare(fields: Fields) -> dict[int, str]:
    """Place → name of the kept turn, of every turn that called tools and has no thoughts."""
    if "messages" not in fields or _thinks_not(fields):
        return {}
    try:
        messages = decode(_said, fields["messages"])
    except ValueError:
        return {}
    return {
        at: one.tool_calls[0].name
        for at, one in enumerate(messages)
        if one.role == "assistant" and one.tool_calls and _is_bare(one)
    }


def _is_bare(said: Said) -> bool:
    thoughts = (said.reasoning_content, said.reasoning, said.reasoning_details)
    return all(bytes(one) in _NOTHING for one in thoughts)


def _thinks_not(fields: Fields) -> bool:
    said = get(fields, "thinking")
    return isinstance(said, dict) and said.get("type") == "disabled"


def _put_back(message: Fields, turn: Turn) -> None:
    told = written_thoughts(turn.thoughts)
    message.update({name: raw(value) for name, value in told.items()})
    if turn.signatures:
        calls = _calls.decode(message["tool_calls"])
        message["tool_calls"] = raw([_signed(call, turn.signatures) for call in calls])


def _signed(call: dict[str, Any], signatures: Mapping[str, str]) -> dict[str, Any]:
    return call if "extra_content" in call else signed(call, signatures.get(call.get("id", ""), ""), NAME)


def _own_details(details: Any) -> Any:
    return [piece for piece in as_list(details) if not is_foreign(piece)]


def _own_calls(calls: Any) -> Any:
    for call in as_list(calls):
        if isinstance(call, dict) and google_signature(call.get("extra_content")).startswith(MARK):
            del call["extra_content"]
    return calls

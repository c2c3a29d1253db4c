"""What the vendor of Messages demands back of earlier turns, and what is none of its business.

A turn that called tools comes back with its signed thoughts, while a model thinks under a budget: the API refuses a
turn under way that begins without one. A model that goes by an effort may have had no thought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.types import Fields

from .anthropic_reading import NAME
from .anthropic_writing import written_thought
from .checks import kind
from .common import decode, get, loads, raw
from .noting import Turn, name_of, recalled
from .signatures import MARK

_MARKED = MARK.encode()
_THOUGHTS = ("thinking", "redacted_thinking")


class Block(msgspec.Struct, gc=False):
    type: Any = ""
    id: Any = ""
    input: Any = None


class Said(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")


_said = msgspec.json.Decoder(list[Said])
_blocks = msgspec.json.Decoder(list[Block])
_opened = msgspec.json.Decoder(list[Fields])


def names(fields: Fields) -> Sequence[str]:
    """The names of turns that called tools and came back without their thoughts."""
    return list(_bare(fields).values()) if thinks(fields) else ()


def resolve(fields: Fields, found: Mapping[str, bytes]) -> Fields:
    """The fields with what was kept, without what others signed, and without thinking where that is not enough."""
    turns = _kept(fields, found)
    if turns or _MARKED in bytes(fields["messages"]):
        opened = decode(_opened, fields["messages"])
        messages = [_mended(one, turns.get(at)) for at, one in enumerate(opened)]
        fields = fields | {"messages": raw([one for one in messages if one is not None])}
    if thinks(fields) == "enabled" and lacks_thoughts(fields):
        fields = {name: value for name, value in fields.items() if name != "thinking"}
    return fields


def thinks(fields: Fields) -> str:
    """How a model is told to think, "" where it is told not to."""
    said = get(fields, "thinking")
    how = said.get("type") if isinstance(said, dict) else None
    return how if isinstance(how, str) and how != "disabled" else ""


def lacks_thoughts(fields: Fields) -> bool:
    """Whether the turn under way called tools without a thought that the vendor would know again."""
    turn: list[Sequence[Block]] = []
    for said in _read(fields):
        blocks = _content(said)
        if said.role == "assistant":
            turn.append(blocks)
        elif any(block.type != "tool_result" for block in blocks) or not blocks:
            turn = []  # somebody spoke
    called = any(block.type == "tool_use" for blocks in turn for block in blocks)
    return called and bool(turn[0]) and turn[0][0].type not in _THOUGHTS


def _kept(fields: Fields, found: Mapping[str, bytes]) -> Mapping[int, Turn]:
    if not found:
        return {}
    turns = {at: recalled(found, name, NAME) for at, name in _bare(fields).items()}
    return {at: turn for at, turn in turns.items() if turn and turn.thoughts}


def _bare(fields: Fields) -> Mapping[int, str]:
    """Place → name of the kept turn, of every message that calls tools and does not begin with a thought."""
    bare: dict[int, str] = {}
    for at, said in enumerate(_read(fields)):
        blocks = _content(said) if said.role == "assistant" else ()
        called = [block for block in blocks if block.type == "tool_use" and isinstance(block.id, str)]
        if called and blocks[0].type not in _THOUGHTS:
            bare[at] = name_of(called[0].id, called[0].input or {})
    return bare


def _mended(message: Fields, turn: Turn | None) -> Fields | None:
    """None for a message of which nothing is left."""
    content = message.get("content")
    if content is None or kind(content) != "array" or not (turn or _MARKED in bytes(content)):
        return message
    blocks = [block for block in loads(content) if not _is_foreign(block)]
    thoughts = [written_thought(one) for one in turn.thoughts if one.signature] if turn else []
    return message | {"content": raw([*thoughts, *blocks])} if blocks else None


def _is_foreign(block: Any) -> bool:
    """Whether it is a thought that another vendor signed."""
    if not isinstance(block, dict) or block.get("type") not in _THOUGHTS:
        return False
    return str(block.get("signature") or block.get("data")).startswith(MARK)


def _read(fields: Fields) -> Sequence[Said]:
    try:
        return decode(_said, fields["messages"])
    except ValueError:
        return ()


def _content(said: Said) -> Sequence[Block]:
    if kind(said.content) != "array":
        return ()
    try:
        return _blocks.decode(said.content)
    except msgspec.MsgspecError:
        return ()

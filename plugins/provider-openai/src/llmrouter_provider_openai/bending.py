"""A finished body, bent to one vendor's deviations. What need not be touched stays byte for byte as it came."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from attrs import evolve

from llmrouter.dialects import raw
from llmrouter.types import Fields, Op

from .profile import Bend

_objects = msgspec.json.Decoder(list[Fields])
_object = msgspec.json.Decoder(Fields)

THOUGHTS, LOST = "reasoning_content", " "
NOTHING = (b"", b"null", b'""', b"[]")
ENCRYPTED = "reasoning.encrypted_content"
COUNTED = frozenset(
    {
        "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text",
        "truncation",
    }
)  # fmt: skip
"""The fields of a body of openai.responses that its counting path takes."""


def touched(bend: Bend) -> frozenset[str] | None:
    """The fields that may be changed, so that other bodies need not be looked at. None: any."""
    if bend.keep:
        return None
    names = {*bend.rename, *bend.drop, *(["tool_choice"] if bend.tool_choice else [])}
    return frozenset(names | {name for name in ("messages", "input", "tools") if _is_touched(name, bend)})


def bent(fields: Fields, bend: Bend, op: Op) -> Fields:
    """The fields as this vendor wants them. What cannot be read is left to the vendor to complain about."""
    found = _named(fields, bend, op)
    if op == "embed":
        return found
    if bend.tool_choice and "tool_choice" in found:
        _choose(found, bend.tool_choice)
    if bend.thoughts and _thinks_not(found):
        bend = evolve(bend, thoughts=False)
    for name, change in (("messages", _message), ("input", _message), ("tools", _tool)):
        if name in found and _is_touched(name, bend):
            found[name] = _each(found[name], bend, change)
    return found


def asking_for_reasoning(fields: Fields) -> Fields:
    """The fields, asking a model that reasons for what it wants back in later turns: it keeps nothing itself."""
    try:
        include = msgspec.json.decode(fields.get("include", b"[]"), type=list[str] | None) or []
    except msgspec.MsgspecError:
        return fields
    if ENCRYPTED in include:
        return fields
    return {**fields, "include": raw([*include, ENCRYPTED])}


def counted(fields: Fields) -> Fields:
    """What the counting path takes of a body."""
    return {name: value for name, value in fields.items() if name in COUNTED}


def _named(fields: Fields, bend: Bend, op: Op) -> Fields:
    found: Fields = {}
    for name, value in fields.items():
        name = _new_name(name, fields, bend)
        if name in bend.drop or (op == "chat" and bend.keep and name not in bend.keep):
            continue
        found[name] = value
    return found


def _new_name(name: str, fields: Fields, bend: Bend) -> str:
    new = bend.rename.get(name, name)
    return name if new in fields else new  # both were sent: the vendor's own name wins, see `drop`


def _thinks_not(fields: Fields) -> bool:
    try:
        said = msgspec.json.decode(fields.get("thinking", b"null"))
    except msgspec.MsgspecError:
        return False
    return isinstance(said, dict) and said.get("type") == "disabled"


def _choose(fields: Fields, choices: Mapping[str, str | None]) -> None:
    try:
        choice = msgspec.json.decode(fields["tool_choice"])
    except msgspec.MsgspecError:
        return
    word = choice if isinstance(choice, str) else "named"
    if word not in choices:
        return
    new = choices[word]
    if new is None:
        del fields["tool_choice"]
    else:
        fields["tool_choice"] = raw(new)


def _is_touched(name: str, bend: Bend) -> bool:
    if name == "tools":
        return bool(bend.tool_strip)
    strips = bend.strip_nulls or bend.message_strip or bend.message_keep
    return bool(bend.roles or bend.flatten or bend.thoughts or strips or bend.call_ids)


def _each(value: msgspec.Raw, bend: Bend, change: Any) -> msgspec.Raw:
    """A list of objects with each one changed; the same bytes if none was."""
    try:
        before = _objects.decode(value)
    except msgspec.MsgspecError:
        return value
    after = [change(one, bend) for one in before]
    return value if after == before else raw(after)


def _message(message: Fields, bend: Bend) -> Fields:
    found = dict(message)
    if bend.strip_nulls:
        found = {name: value for name, value in found.items() if bytes(value) != b"null" or name == "content"}
    for name in bend.message_strip & found.keys():
        del found[name]
    role = bytes(found.get("role", b"")).strip(b'"').decode("utf-8", "replace")
    if role in bend.roles:
        role = bend.roles[role]
        found["role"] = raw(role)
    if role in bend.message_keep:
        found = {name: value for name, value in found.items() if name in bend.message_keep[role]}
    if bend.call_ids:
        refit(found, bend.call_ids)
    if bend.flatten and "content" in found:
        found["content"] = _flat(found["content"])
    return _thoughtful(found) if bend.thoughts else found


def _thoughtful(message: Fields) -> Fields:
    """A turn that called tools, with its thoughts under the name that this vendor looks for."""
    if bytes(message.get("tool_calls", b"")) in NOTHING or bytes(message.get(THOUGHTS, b"")) not in NOTHING:
        return message
    said = message.get("reasoning")  # what other vendors call them
    told = said is not None and bytes(said).startswith(b'"') and bytes(said) not in NOTHING
    return message | {THOUGHTS: said if said is not None and told else raw(LOST)}


def refit(message: Fields, length: int) -> None:
    """Ids of calls that this vendor would refuse, in the call and in what came of it alike."""
    if "tool_call_id" in message:
        message["tool_call_id"] = _fitted(message["tool_call_id"], length)
    if "tool_calls" in message:
        try:
            calls = _objects.decode(message["tool_calls"])
        except msgspec.MsgspecError:
            return
        fitted = [{**call, "id": _fitted(call["id"], length)} if "id" in call else call for call in calls]
        if fitted != calls:
            message["tool_calls"] = raw(fitted)


def _fitted(id: msgspec.Raw, length: int) -> msgspec.Raw:
    """The same id, if it fits; else one made of it, always the same."""
    plain = bytes(id).strip(b'"')
    if len(plain) == length and plain.isalnum():
        return id
    return msgspec.Raw(b'"' + blake2b(plain, digest_size=16).hexdigest()[:length].encode() + b'"')


def _flat(content: msgspec.Raw) -> msgspec.Raw:
    """A list of nothing but text parts as one text."""
    try:
        parts = _objects.decode(content)
        kinds = {bytes(part.get("type", b"")) for part in parts}
        if kinds != {b'"text"'}:
            return content
        texts = [msgspec.json.decode(part["text"], type=str) for part in parts]
    except (msgspec.MsgspecError, KeyError):
        return content
    return raw("".join(texts))


def _tool(tool: Fields, bend: Bend) -> Fields:
    if "function" not in tool:  # openai.responses describes a function in one level
        return {name: value for name, value in tool.items() if name not in bend.tool_strip}
    try:
        function = _object.decode(tool["function"])
    except msgspec.MsgspecError:
        return tool
    if not bend.tool_strip & function.keys():
        return tool
    kept = {name: value for name, value in function.items() if name not in bend.tool_strip}
    return {**tool, "function": raw(kept)}

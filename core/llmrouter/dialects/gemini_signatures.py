"""Signatures of calls that clients dropped, put back; those of other vendors, taken out.

The newer models refuse a turn whose first call has no signature. Where the router kept none, the API documents a
word that stands for it; the older ones were recorded to do without.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.types import Fields

from .common import dumps, loads
from .gemini_common import NAME, is_foreign
from .noting import name_of, recalled

PLACEHOLDER = base64.b64encode(b"skip_thought_signature_validator").decode()

_CALLS = (b'"functionCall"', b'"function_call"')
_SIGNED = (b'"thoughtSignature"', b'"thought_signature"')
_contents = msgspec.json.Decoder(list[msgspec.Raw])

Part = dict[str, Any]


def names(fields: Fields) -> Sequence[str]:
    """Under which names the turns are kept whose calls came without a signature."""
    return [
        name_of(id)
        for raw in _opened(fields)
        if _has(raw, _CALLS) and (first := _unsigned(_parts(loads(raw)))) and (id := _id(first))
    ]


def resolve(fields: Fields, found: Mapping[str, bytes]) -> Fields:
    """The fields with the signatures that were kept; contents that need nothing stay byte for byte as they came."""
    return _each(fields, lambda parts: _strip(parts) | _put_back(parts, found))


def sign(fields: Fields) -> Fields:
    """The fields with the word for a lost signature in every turn that has none."""
    return _each(fields, _stand_in)


def _each(fields: Fields, change: Callable[[list[Part]], bool]) -> Fields:
    """The fields with the parts of each content changed in place; `change` says whether it did."""
    before = _opened(fields)
    after = [_changed(raw, change) if _has(raw, _CALLS) or _has(raw, _SIGNED) else raw for raw in before]
    if all(one is two for one, two in zip(before, after, strict=True)):
        return fields
    return fields | {"contents": msgspec.Raw(dumps(after))}


def _changed(raw: msgspec.Raw, change: Callable[[list[Part]], bool]) -> msgspec.Raw:
    content = loads(raw)
    return msgspec.Raw(dumps(content)) if change(_parts(content)) else raw


def _put_back(parts: list[Part], found: Mapping[str, bytes]) -> bool:
    """Whether there was something to be put back."""
    first = _unsigned(parts)
    turn = recalled(found, _id(first), NAME) if first else None
    signatures = turn.signatures if turn else {}
    lost = [(part, signatures[id]) for part in parts if not _signature(part) and (id := _id(part)) in signatures]
    for part, signature in lost:
        part["thoughtSignature"] = signature
    return bool(lost)


def _stand_in(parts: list[Part]) -> bool:
    if first := _unsigned(parts):
        first["thoughtSignature"] = PLACEHOLDER
    return first is not None


def _strip(parts: list[Part]) -> bool:
    """Whether there was a signature that is not the vendor's."""
    foreign = [part for part in parts if is_foreign(_signature(part))]
    for part in foreign:
        part.pop("thoughtSignature", None)
        part.pop("thought_signature", None)
    empty = [part for part in foreign if not any(value for name, value in part.items() if name != "thought")]
    for part in empty:  # nothing but a signature
        parts.remove(part)
    if foreign and not parts:
        parts.append({"text": " "})  # a content must say something
    return bool(foreign)


def _unsigned(parts: list[Part]) -> Part | None:
    """The first call of a turn, if it came without a signature."""
    first = next((part for part in parts if _call(part)), None)
    if first is None:
        return None
    signature = _signature(first)
    return None if signature and not is_foreign(signature) else first


def _opened(fields: Fields) -> Sequence[msgspec.Raw]:
    """The contents one by one; none where none of them could need anything."""
    raw = fields.get("contents")
    if raw is None or not (_has(raw, _CALLS) or _has(raw, _SIGNED)):
        return ()
    try:
        return _contents.decode(raw)
    except msgspec.MsgspecError:
        return ()  # the vendor will say what is wrong with it


def _has(raw: msgspec.Raw, words: Sequence[bytes]) -> bool:
    data = bytes(raw)
    return any(word in data for word in words)


def _parts(content: Any) -> list[Part]:
    parts = content.get("parts") if isinstance(content, dict) else None
    return parts if isinstance(parts, list) and all(isinstance(part, dict) for part in parts) else []


def _call(part: Part) -> Any:
    return part.get("functionCall") or part.get("function_call")


def _id(part: Part) -> str:
    call = _call(part)
    return str(call.get("id") or "") if isinstance(call, dict) else ""


def _signature(part: Part) -> str:
    found = part.get("thoughtSignature") or part.get("thought_signature")
    return found if isinstance(found, str) else ""

"""Signatures of calls that clients dropped, put back; those of other vendors, taken out.

The newer models refuse a turn whose first call has no signature. Where the router kept none, the API documents a
word that stands for it; the older ones were recorded to do without.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.types import Fields

from .common import dumps, loads
from .gemini_common import NAME, is_foreign
from .noting import name_of, recalled

PLACEHOLDER = base64.b64encode(b"skip_thought_signature_validator").decode()


class Call(msgspec.Struct, gc=False):
    id: str | None = None
    args: Any = None

    @property
    def name(self) -> str:
        """Of the turn that began with this call, where it is kept."""
        return name_of(self.id or "", self.args or {})


class Part(msgspec.Struct, gc=False):
    functionCall: Call | None = None
    function_call: Call | None = None
    thoughtSignature: str | None = None
    thought_signature: str | None = None

    @property
    def call(self) -> Call | None:
        return self.functionCall or self.function_call

    @property
    def signature(self) -> str:
        return self.thoughtSignature or self.thought_signature or ""


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


_contents = msgspec.json.Decoder(list[Content])
_raws = msgspec.json.Decoder(list[msgspec.Raw])

Change = Callable[[list[dict[str, Any]]], None]
"""Changes the parts of a content in place."""


def names(fields: Fields) -> Sequence[str]:
    """Under which names the turns are kept whose calls came without a signature."""
    return [call.name for _, call in _unsigned(_looked(fields)) if call.id]


def resolve(fields: Fields, found: Mapping[str, bytes]) -> Fields:
    """The fields with the signatures that were kept; contents that need nothing stay byte for byte as they came."""
    contents = _looked(fields)
    changes: dict[int, list[Change]] = {}
    for at, content in enumerate(contents):
        if any(is_foreign(part.signature) for part in content.parts or ()):
            changes.setdefault(at, []).append(_strip)
    for at, call in _unsigned(contents):
        if turn := recalled(found, call.name, NAME):
            changes.setdefault(at, []).append(_put_back(turn.signatures))
    return _changed(fields, changes)


def sign(fields: Fields) -> Fields:
    """The fields with the word for a lost signature in every turn that has none."""
    return _changed(fields, {at: [_stand_in] for at, _ in _unsigned(_looked(fields))})


def _looked(fields: Fields) -> Sequence[Content]:
    """The contents as far as signatures go, in one typed pass. Of what cannot be read the vendor will complain."""
    try:
        return _contents.decode(fields.get("contents", b"[]"))
    except msgspec.MsgspecError:
        return ()


def _unsigned(contents: Sequence[Content]) -> Iterator[tuple[int, Call]]:
    """The turns whose first call has no signature of Google's: their places, and those calls."""
    for at, content in enumerate(contents):
        for part in content.parts or ():
            if call := part.call:
                if not part.signature or is_foreign(part.signature):
                    yield at, call
                break


def _changed(fields: Fields, changes: Mapping[int, Sequence[Change]]) -> Fields:
    if not changes:
        return fields
    contents = _raws.decode(fields["contents"])
    for at, some in changes.items():
        content = loads(contents[at])
        for change in some:
            change(content["parts"])
        contents[at] = msgspec.Raw(dumps(content))
    return fields | {"contents": msgspec.Raw(dumps(contents))}


def _strip(parts: list[dict[str, Any]]) -> None:
    """Take out foreign signatures, and what was nothing but one. A content must say something."""
    for part in [one for one in parts if is_foreign(_signature(one))]:
        part.pop("thoughtSignature", None)
        part.pop("thought_signature", None)
        if not any(value for name, value in part.items() if name != "thought"):
            parts.remove(part)
    if not parts:
        parts.append({"text": " "})


def _put_back(signatures: Mapping[str, str]) -> Change:
    def change(parts: list[dict[str, Any]]) -> None:
        for part in parts:
            call = part.get("functionCall") or part.get("function_call") or {}
            if not _signature(part) and (kept := signatures.get(call.get("id") or "")):
                part["thoughtSignature"] = kept

    return change


def _stand_in(parts: list[dict[str, Any]]) -> None:
    first = next(one for one in parts if one.get("functionCall") or one.get("function_call"))
    first["thoughtSignature"] = PLACEHOLDER


def _signature(part: Mapping[str, Any]) -> str:
    found: str = part.get("thoughtSignature") or part.get("thought_signature") or ""
    return found

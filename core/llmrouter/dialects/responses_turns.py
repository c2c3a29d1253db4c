"""Reasoning that an endpoint wants back, and that another's endpoint could not read.

The API is stateless here (`store` is false, see `aim`): reasoning comes back with its encrypted content or not at
all. Vendors give it to those who ask, and only models that reason may be asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.types import Fields

from .calls import arguments_of
from .checks import kind
from .common import decode, get, raw
from .noting import name_of, recalled
from .responses_state import items_of
from .responses_thoughts import NAME, write_thought
from .signatures import MARK

ENCRYPTED = "reasoning.encrypted_content"

_NULL = msgspec.Raw(b"null")
_SPOKEN = frozenset({"reasoning", "function_call", "custom_tool_call"})
_REASONING = b'"reasoning"'


class Peeked(msgspec.Struct, gc=False):
    type: str | None = ""
    role: str | None = ""
    call_id: str | None = ""
    arguments: Any = ""
    input: Any = ""
    encrypted_content: str | None = None
    content: msgspec.Raw = _NULL

    @property
    def name(self) -> str:
        """Of the turn that began with this call, where it is kept. A custom tool is called with a text."""
        custom = self.type == "custom_tool_call"
        return name_of(self.call_id or "", {"input": self.input} if custom else arguments_of(str(self.arguments)))


_peeked = msgspec.json.Decoder(list[Peeked])


def without_foreign(fields: Fields) -> Fields:
    """The fields without reasoning that no endpoint can read: another dialect's, or an id and nothing else."""
    value = fields.get("input")
    if value is None or _REASONING not in bytes(value) or kind(value) != "array":
        return fields
    fit = [not _is_foreign(one) for one in _peek(fields)]
    if all(fit):
        return fields
    return fields | {"input": raw([item for item, fits in zip(items_of(fields), fit, strict=True) if fits])}


def missing(fields: Fields) -> Sequence[str]:
    """Names under which thoughts may be kept that a client has dropped."""
    return [name for _, name in _thoughtless(fields)]


def resolved(fields: Fields, found: Mapping[str, bytes]) -> Fields:
    """The fields with those thoughts in their places; the same bytes where none was found."""
    if not found:
        return fields
    items = items_of(fields)
    for at, name in reversed(list(_thoughtless(fields))):
        if turn := recalled(found, name, NAME):
            thoughts = [msgspec.structs.replace(thought, source=NAME) for thought in turn.thoughts]
            items[at:at] = [raw(item) for thought in thoughts if (item := write_thought(thought))]
    return fields | {"input": raw(items)}


def asking_for_reasoning(fields: Fields) -> Fields:
    """The fields of who speaks of reasoning, asking for its encrypted content: other models refuse to be asked."""
    if kind(fields.get("reasoning", _NULL)) != "object":
        return fields
    include = get(fields, "include") or []
    return fields if ENCRYPTED in include else fields | {"include": raw([*include, ENCRYPTED])}


def _thoughtless(fields: Fields) -> Iterator[tuple[int, str]]:
    """Turns that call something and show no thought: where they begin, and their names."""
    start, thought, call = 0, False, ""
    for at, item in enumerate([*_peek(fields), Peeked(role="user")]):
        if item.type in _SPOKEN or item.role == "assistant":
            thought = thought or item.type == "reasoning"
            call = call or (item.name if item.call_id else "")
            continue
        if call and not thought:
            yield start, call
        start, thought, call = at + 1, False, ""


def _peek(fields: Fields) -> list[Peeked]:
    if "input" not in fields or kind(fields["input"]) != "array":
        return []
    try:
        return decode(_peeked, fields["input"])
    except msgspec.ValidationError:
        return []  # the upstream will say what is wrong with it


def _is_foreign(item: Peeked) -> bool:
    if item.type != "reasoning":
        return False
    if item.encrypted_content:
        return item.encrypted_content.startswith(MARK)
    return kind(item.content) != "array" or bytes(item.content) == b"[]"

"""What is kept of an answer: `previous_response_id` and references to items are looked up here, not at a vendor.

A stored response holds every item that it was made from, those of earlier responses too: one look-up is enough, and
deleting an earlier one breaks nothing. Instructions are not carried over, as in the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields, Keep

from .checks import kind
from .common import decode, dumps, get, join, loads, raw

TTL = 30 * 86400.0
"""Seconds: as long as the API keeps a response."""

OWN_IDS = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
"""Items whose ids no request needs; those of tools that a vendor runs are part of what they say."""

_REFERENCE = b'"item_reference"'


class Stored(msgspec.Struct, frozen=True):
    """A response, and the items it was made from."""

    input: list[msgspec.Raw]
    response: msgspec.Raw


class Referred(msgspec.Struct, gc=False):
    type: str | None = ""
    id: str | None = ""


_stored = msgspec.json.Decoder(Stored)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_referred = msgspec.json.Decoder(list[Referred])


def name_of(response_id: str) -> str:
    """The name that a response is kept under."""
    return f"response:{response_id}"


def name_of_item(item_id: str) -> str:
    return f"item:{item_id}"


def stores(fields: Fields) -> bool:
    """Whether the answer is to be kept: yes, unless the client says no."""
    return get(fields, "store") is not False


# --- kept


def kept(fields: Fields, response: Fields) -> Iterator[Keep]:
    """The response with what it was made from, and each item of its output by itself."""
    id = get(response, "id")
    stored = Stored(items_of(fields), msgspec.Raw(join(response)))
    yield Keep(name_of(str(id)), dumps(stored), TTL)
    for item in get(response, "output") or ():
        if isinstance(item, dict) and (item_id := item.get("id")):
            yield Keep(name_of_item(str(item_id)), dumps(item), TTL)


def read_stored(value: bytes) -> Stored:
    return _stored.decode(value)


def items_of(fields: Fields) -> list[msgspec.Raw]:
    """The input as items, one for a text. Raises InvalidRequest."""
    if "input" not in fields or kind(fields["input"]) == "null":
        return []
    if kind(fields["input"]) == "array":
        try:
            return decode(_raws, fields["input"])
        except ValueError as error:
            raise InvalidRequest(f"input: {error}", param="input") from None
    return [raw({"type": "message", "role": "user", "content": get(fields, "input")})]


# --- referred to


def refers(fields: Fields) -> Sequence[str]:
    """The names of what a request refers to."""
    names = []
    if "previous_response_id" in fields and (id := get(fields, "previous_response_id")):
        names.append(name_of(str(id)))
    return names + [name_of_item(id) for id in _references(fields) if id]


def expand(fields: Fields, found: Mapping[str, bytes]) -> Fields:
    """The request with what it refers to in its input. Raises InvalidRequest for what is not kept."""
    items = items_of(fields)
    for at, id in enumerate(_references(fields)):
        if id:
            items[at] = _item(id, found)
    if id := get(fields, "previous_response_id"):
        items = _history(str(id), found) + items
    return fields | {"input": raw(items)}


def _references(fields: Fields) -> list[str]:
    """For each item the id that it refers to; "" for all that are what they are."""
    value = fields.get("input")
    if value is None or _REFERENCE not in bytes(value) or kind(value) != "array":
        return []
    try:
        listed = decode(_referred, value)
    except msgspec.ValidationError:
        return []  # what is wrong with it is said by who reads it
    return [(one.id or "") if one.type == "item_reference" else "" for one in listed]


def _item(id: str, found: Mapping[str, bytes]) -> msgspec.Raw:
    value = found.get(name_of_item(id))
    if value is None:
        raise InvalidRequest(f"Item with id '{id}' not found.", param="input", code="item_not_found", status=404)
    return raw(_said(loads(value)))


def _history(id: str, found: Mapping[str, bytes]) -> list[msgspec.Raw]:
    value = found.get(name_of(id))
    if value is None:
        message = f"Previous response with id '{id}' not found."
        raise InvalidRequest(message, param="previous_response_id", code="previous_response_not_found")
    stored = read_stored(value)
    return stored.input + [raw(_said(item)) for item in loads(stored.response).get("output") or ()]


def _said(item: Any) -> Any:
    """An item as a request may say it: a vendor that never saw its id would look for it in vain."""
    if not isinstance(item, dict) or item.get("type") not in OWN_IDS:
        return item
    return {name: value for name, value in item.items() if name != "id" and value is not None}


# --- shown


def listed(stored: Stored, response_id: str) -> list[dict[str, Any]]:
    """The input items of a response as the API lists them: whole messages, each with an id."""
    return [
        _shown(loads(item), f"{response_id.removeprefix('resp_')}{at:04x}") for at, item in enumerate(stored.input)
    ]


def _shown(item: dict[str, Any], tail: str) -> dict[str, Any]:
    kind = item.get("type") or "message"
    shown = {"id": f"{_PREFIXES.get(kind, 'item')}_{tail}", **item, "type": kind}
    if kind != "message":
        return shown
    if isinstance(item.get("content"), str):
        spoken = item.get("role") == "assistant"
        part = {"type": "output_text", "annotations": []} if spoken else {"type": "input_text"}
        shown["content"] = [part | {"text": item["content"]}]
    return {"status": "completed", **shown}


_PREFIXES: Mapping[str, str] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}

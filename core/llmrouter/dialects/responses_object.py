"""The object that Responses calls a response: what is echoed of the request, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.types import Fields, Kind, Request, Trouble, Usage

from .common import decode, get, join, raw
from .errors import envelope
from .responses_state import stores
from .responses_tools import echoed
from .responses_usage import write_usage

_NULL = msgspec.Raw(b"null")

ECHOED: Mapping[str, msgspec.Raw] = {
    "background": msgspec.Raw(b"false"),
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "max_tool_calls": _NULL,
    "metadata": msgspec.Raw(b"{}"),
    "parallel_tool_calls": msgspec.Raw(b"true"),
    "previous_response_id": _NULL,
    "reasoning": msgspec.Raw(b'{"effort":null,"summary":null}'),
    "temperature": _NULL,
    "text": msgspec.Raw(b'{"format":{"type":"text"}}'),
    "tool_choice": msgspec.Raw(b'"auto"'),
    "top_p": _NULL,
    "truncation": msgspec.Raw(b'"disabled"'),
}
"""Fields of a request that its answer repeats, and what it says where the request said nothing."""

IF_SAID = ("prompt_cache_key", "safety_identifier", "service_tier", "top_logprobs", "user")

INCOMPLETE: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}

CODES: Mapping[Kind, str] = {
    "rate_limited": "rate_limit_exceeded",
    "quota_exhausted": "rate_limit_exceeded",
    "invalid_request": "invalid_prompt",
    "content_filter": "invalid_prompt",
}
"""The API's few names for what can go wrong; any other is a server_error."""

_opened = msgspec.json.Decoder(Fields)


class Shown:
    """The response to one request. `patches` is what an upstream cannot know of it: the router keeps it."""

    def __init__(self, request: Request, id: str) -> None:
        self._id, self._created = raw(id), raw(int(request.facts.at))
        self._fields = request.fields
        self._echo: Fields = {}
        self.patches: Fields = {"store": raw(True)} if stores(request.fields) else {}
        if (id_ := request.fields.get("previous_response_id")) is not None:
            self.patches["previous_response_id"] = id_

    def response(
        self,
        status: str,
        model: str,
        output: Sequence[Mapping[str, Any]],
        *,
        reason: str = "",
        usage: Usage | None = None,
        error: Any = None,
    ) -> Fields:
        self._echo = self._echo or _echo(self._fields)
        details = {"reason": INCOMPLETE[reason]} if status == "incomplete" else None
        return {
            "id": self._id,
            "object": msgspec.Raw(b'"response"'),
            "created_at": self._created,
            "status": raw(status),
            "error": raw(error),
            "incomplete_details": raw(details),
            "model": raw(model),
            "output": raw(output),
            "usage": raw(write_usage(usage)) if usage else _NULL,
            **self._echo,
        }

    def adopt(self, response: Fields) -> None:
        """Go on as the response that an upstream began."""
        self._id = response.get("id", self._id)
        self._created = response.get("created_at", self._created)


def error_of(trouble: Trouble) -> dict[str, Any]:
    """The error of a response, the router's own account of it beside it."""
    return {
        "code": CODES.get(trouble.kind, "server_error"),
        "message": trouble.message,
        "llmrouter": envelope(trouble)["error"]["llmrouter"],
    }


def patched(response: Fields, patches: Fields) -> Fields:
    """The response of an upstream with what only the router knows; the same bytes in all else."""
    return {name: patches.get(name, value) for name, value in response.items()}


def opened_event(data: bytes, patches: Fields) -> tuple[bytes, Fields] | None:
    """An event of an upstream, patched, and the response it speaks of; None for one that speaks of none."""
    head, mark, rest = data.partition(b"data:")
    try:
        event = _opened.decode(rest)
        response = _opened.decode(event["response"])
    except (msgspec.MsgspecError, KeyError):
        return None
    found = patched(response, patches)
    if found == response:
        return data, found
    event["response"] = msgspec.Raw(join(found))
    return b"%b%b %b\n\n" % (head, mark, join(event)), found


def opened_body(data: bytes) -> Fields:
    """A whole response, one level deep."""
    return decode(_opened, data)


def _echo(fields: Fields) -> Fields:
    said = {name: value for name, value in fields.items() if bytes(value) != b"null"}
    echo = {name: said.get(name, default) for name, default in ECHOED.items()}
    echo |= {name: said[name] for name in IF_SAID if name in said}
    tools = get(fields, "tools")
    return echo | {"tools": raw(echoed(tools or ())), "store": raw(stores(fields))}

"""What a cassette may hold: what was asked and answered, and nothing of who asked.

Headers are let through by name and all others left out. In addresses and bodies keys, ids of accounts and
organisations, and mail addresses are replaced, always by the same, so that a replay still fits.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from attrs import frozen

from llmrouter.provider import redacted

GONE = "REDACTED"
LISTED = 12
"""Entries of a long list, such as that of the models, that are kept."""

_REQUEST_HEADERS = frozenset({"content-type", "anthropic-version"})
_RESPONSE_HEADERS = re.compile(r"content-type|retry-after(?:-ms)?|(?:x-|anthropic-)?rate-?limit.*|x-tokenlimit.*")
_QUERY_KEYS = frozenset({"alt", "pageSize", "limit"})
_IDS = re.compile(r"\b(?:org|proj|project|user|acct|account|team|ws|wrkspc|workspace|cus)[-_][A-Za-z0-9]{6,}\b")
_MAILS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NAMED = re.compile(
    r'("(?:organi[sz]ation|org|account|user|project|team|workspace|customer|creator|owner)(?:_?id|_uuid|_name|Id)?"'
    r'\s*:\s*")[^"]+(")',
    re.IGNORECASE,
)


class Leak(AssertionError):
    """A secret stands in a cassette."""


@frozen
class Scrubber:
    """For vcrpy: `request` and `response` are its two filters. `secrets` are replaced wherever they stand."""

    secrets: Sequence[str] = ()

    def request(self, request: Any) -> Any:
        request.headers = {
            name: value for name, value in request.headers.items() if name.lower() in _REQUEST_HEADERS
        }
        request.uri = self._address(request.uri)
        if request.body:
            request.body = self.text(_decoded(request.body)).encode()
        return request

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        kept = {
            name.lower(): [self.text(_decoded(one)) for one in _several(values)]
            for name, values in response["headers"].items()
            if _RESPONSE_HEADERS.fullmatch(name.lower())
        }
        body = shortened(self.text(_decoded(response["body"]["string"])))
        return {**response, "headers": kept, "body": {"string": body.encode()}}

    def text(self, text: str) -> str:
        for form in self._forms():
            text = text.replace(form, GONE)
        text = _NAMED.sub(rf"\g<1>{GONE}\g<2>", text)
        return redacted(_MAILS.sub(GONE, _IDS.sub(GONE, text)))

    def check(self, cassette: Path) -> None:
        """Raises Leak, and deletes the file, if a secret stands in it all the same."""
        text = cassette.read_text("utf-8")
        if any(form in text for form in self._forms()):
            cassette.unlink()
            raise Leak(f"{cassette.name} held a secret, and was deleted")

    def _address(self, uri: str) -> str:
        parts = urlsplit(uri)
        query = "&".join([one for one in parts.query.split("&") if one.partition("=")[0] in _QUERY_KEYS])
        return urlunsplit((parts.scheme, parts.netloc, self.text(parts.path), query, ""))

    def _forms(self) -> Iterator[str]:
        """A secret as it is, in an address, in JSON, and in base64."""
        for secret in self.secrets:
            escaped = json.dumps(secret)[1:-1]
            coded = base64.b64encode(secret.encode()).decode().rstrip("=")
            yield from dict.fromkeys((secret, quote(secret, safe=""), escaped, coded[: len(coded) // 4 * 4]))


def shortened(text: str) -> str:
    """A list of models cut to what a test needs; every other body as it is."""
    try:
        body = json.loads(text)
    except ValueError:
        return text
    if isinstance(body, list):
        return json.dumps(body[:LISTED]) if len(body) > LISTED else text
    for name in ("data", "models"):
        if isinstance(body, dict) and isinstance(body.get(name), list) and len(body[name]) > LISTED:
            return json.dumps(body | {name: body[name][:LISTED]})
    return text


def _decoded(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "replace")


def _several(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]

"""Who asks: client keys, known by their hash only, and the operator.

A key is accepted as `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `api-key` and `?key=`, because
each client library has its own place for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from hashlib import sha256
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from llmrouter.settings import ClientKeySettings, ServerSettings

from .answers import Refused, trouble

ANONYMOUS = "anonymous"
NOBODY = ("", b"")
PREFIX = "sha256:"
HEADERS = ("x-api-key", "x-goog-api-key", "api-key")
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip")
UNKNOWN_KEY = trouble(401, "invalid_api_key", "This router does not know the key that was sent.", "auth")
MISSING_KEY = trouble(401, "invalid_api_key", "No API key was sent: use `Authorization: Bearer …`.", "auth")
FOREIGN_PAGE = trouble(
    403, "foreign_origin", "A web page from elsewhere may use this router only with a key.", "auth"
)


def key_hash(key: str) -> str:
    """How a key stands in the configuration."""
    return PREFIX + sha256(key.encode()).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant by a host name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


class Keys:
    """The keys of one configuration."""

    def __init__(self, settings: ServerSettings) -> None:
        self._clients = _by_digest(settings.keys)
        self._admin = _digest(settings.admin_key.reveal()) if settings.admin_key else None

    def check(self, headers: Mapping[str, str], query: bytes) -> str:
        """The name of the client's key; without configured keys everybody is anonymous. Raises Refused."""
        if not self._clients:
            if _foreign_page(headers):
                raise Refused(FOREIGN_PAGE)
            return ANONYMOUS
        what = MISSING_KEY
        for key in presented(headers, query):
            digest = _digest(key)
            name, known = self._clients.get(digest, NOBODY)
            if hmac.compare_digest(digest, known):
                return name
            what = UNKNOWN_KEY
        raise Refused(what)

    def admin(self, headers: Mapping[str, str], query: bytes, scope: MutableMapping[str, Any]) -> int:
        """The status for somebody who asks for the operator's pages: 200, 401 or 403.

        Without an admin key only this machine may: neither through a proxy, nor by a web page whose name
        was made to point here.
        """
        if self._admin is not None:
            known = (hmac.compare_digest(_digest(key), self._admin) for key in presented(headers, query))
            return 200 if any(known) else 401
        local = is_loopback((scope.get("client") or ("",))[0]) and is_loopback(_name(headers.get("host", "")))
        proxied = any(name in headers for name in FORWARDED)
        return 200 if local and not proxied and not _foreign_page(headers) else 403


def presented(headers: Mapping[str, str], query: bytes) -> Iterator[str]:
    """Every key a request carries: some clients send two, and one of them may be for somebody else."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if token and scheme.lower() == "bearer":
        yield token.strip()
    for name in HEADERS:
        if name in headers:
            yield headers[name]
    if b"key=" in query:
        yield from parse_qs(query.decode("latin-1")).get("key", ())


def _by_digest(keys: Sequence[ClientKeySettings]) -> dict[bytes, tuple[str, bytes]]:
    digests = ((bytes.fromhex(key.hash.removeprefix(PREFIX)), key.name) for key in keys)
    return {digest: (name, digest) for digest, name in digests}


def _digest(key: str) -> bytes:
    return sha256(key.encode("latin-1", "replace")).digest()


def _name(host: str) -> str:
    """The host without its port."""
    return urlsplit(f"//{host}").hostname or ""


def _foreign_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this for a page from elsewhere: it would spend its visitor's money."""
    origin = headers.get("origin")
    if origin is None or not (origin == "null" or origin.startswith(("http://", "https://"))):
        return False
    return not is_loopback(_name(origin.partition("//")[2]))

"""Login with a browser: OAuth with PKCE, for which nothing has to be registered.

A person grants a key on OpenRouter's page. The page then goes to a server on this machine's own loopback and hands
over a code; where there is no browser on this machine, the page shows the code and the person types it in. The
code is worth nothing without the verifier, which never leaves this process but for the exchange.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import threading
import webbrowser
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
from attrs import frozen

from llmrouter.errors import LLMRouterError

if TYPE_CHECKING:
    from .provider import OpenRouterProvider

PATIENCE = 600.0
"""Seconds for which a code is valid: whoever takes longer has to begin again."""
MOST_READ = 8192  # bytes of a browser's request
Ask = Callable[[], Awaitable[str]]
"""Waits for a line of the person's."""
Show = Callable[[str], None]

_PAGE = "<!doctype html><meta charset=utf-8><title>llmrouter</title><p>{}"


@frozen
class Site:
    """Where a person grants a key, and how the code that comes of it is exchanged for the key."""

    page: str
    exchange: Callable[[dict[str, str]], Awaitable[Any]]
    open: Callable[[str], Any] = webbrowser.open

    @classmethod
    def of(cls, provider: OpenRouterProvider) -> Site:
        base = provider.base_url
        page = f"{base.scheme}://{base.netloc.decode()}/auth"
        return cls(page, lambda body: provider.fetch("/auth/keys", body=msgspec.json.encode(body)))


async def typed() -> str:
    """What the person types. A thread that waits for it must not keep a process that gave up."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        try:
            line = input()
        except EOFError:
            line = ""
        loop.call_soon_threadsafe(take, line)

    def take(line: str) -> None:
        if not answer.done():
            answer.set_result(line)

    threading.Thread(target=read, daemon=True).start()
    return await answer


async def login(site: Site, show: Show, open_browser: bool, ask: Ask, patience: float = PATIENCE) -> str:
    """An API key. Raises LLMRouterError when it did not come to one."""
    verifier = secrets.token_urlsafe(64)
    try:
        async with asyncio.timeout(patience):
            code = await (_called(site, show, verifier) if open_browser else _shown(site, show, ask, verifier))
    except TimeoutError:
        raise LLMRouterError(f"nobody granted a key within {patience:g} s: begin again") from None
    said = {"code": code, "code_verifier": verifier, "code_challenge_method": "S256"}
    answer = await site.exchange(said)
    key = answer.get("key") if isinstance(answer, dict) else None
    if not isinstance(key, str) or not key:
        raise LLMRouterError("the code was exchanged, but there is no key in the answer")
    return key


def challenge(verifier: str) -> str:
    """What is told of the verifier beforehand (RFC 7636, S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


async def _called(site: Site, show: Show, verifier: str) -> str:
    """The code that the browser brings to a server of our own, which lives until then."""
    callback = Callback(secrets.token_urlsafe(16))
    server = await asyncio.start_server(callback.serve, "127.0.0.1", 0, limit=MOST_READ)
    async with server:
        port = server.sockets[0].getsockname()[1]
        address = _address(site, verifier, f"http://localhost:{port}/{callback.state}")
        show(f"Grant llmrouter a key in your browser: {address}")
        await asyncio.to_thread(site.open, address)
        return await callback.code


async def _shown(site: Site, show: Show, ask: Ask, verifier: str) -> str:
    show(f"Open this address in a browser and grant llmrouter a key: {_address(site, verifier)}")
    show("Then type the code that the page shows:")
    code = (await ask()).strip()
    if not code:
        raise LLMRouterError("no code was given")
    return code


def _address(site: Site, verifier: str, callback: str = "") -> str:
    said = {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    return f"{site.page}?{urlencode(({'callback_url': callback} if callback else {}) | said)}"


class Callback:
    """A server for one request: the browser's, which comes back with the code, to a path that nobody can guess."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status, words = self._answer(head.split(b" ", 2)[1].decode("latin-1"))
        except (ValueError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            status, words = "400 Bad Request", "That was no request."
        page = _PAGE.format(words).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\n"
            "connection: close\r\n\r\n".encode()
            + page
        )
        await writer.drain()
        writer.close()

    def _answer(self, target: str) -> tuple[str, str]:
        parts = urlsplit(target)
        said = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if not hmac.compare_digest(parts.path.encode(), f"/{self.state}".encode()):
            return "404 Not Found", "This is not the login that was begun here."
        if self.code.done():
            return "400 Bad Request", "This login is over."
        if "code" not in said:
            self.code.set_exception(LLMRouterError(f"no key was granted: {said.get('error', 'no code came back')}"))
            return "200 OK", "No key was granted. You may close this page."
        self.code.set_result(said["code"])
        return "200 OK", "llmrouter has its key. You may close this page."

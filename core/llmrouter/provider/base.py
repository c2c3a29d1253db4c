"""A provider that is reached over HTTP: it carries a call and reads the head of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from llmrouter import __version__
from llmrouter.errors import LLMRouterError, TransportError
from llmrouter.http import (
    URL,
    Answered,
    Body,
    ByteStream,
    Door,
    Pair,
    PooledTransport,
    Request,
    guarded,
    head_of,
    joined,
    lines,
)
from llmrouter.protocols import BuildContext
from llmrouter.settings import AccountSettings, ProviderSettings
from llmrouter.types import Call, Fields, Verdict

from .limits import LimitHeaders, retry_at, sightings
from .refusals import ErrorRule, Said, classify, read_error

PATIENCE = 30.0  # seconds that a look-up, such as the list of models, may take
MOST_READ = 16 * 1024 * 1024  # bytes of such an answer
NOBODY = ""
"""The account of look-ups that need none."""
GOOD = Verdict(None)
REBUILT = (
    "messages", "input", "tools", "stream_options", "options", "contents", "generationConfig",
    "generateContentRequest",
)  # fmt: skip


class HTTPReply:
    """An answer under way. `headers` have lower-case names; repeated ones are joined by a comma.

    `dropped` names what the vendor was not told, or was told otherwise.
    """

    __slots__ = ("_body", "dropped", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: Body) -> None:
        self.status = status
        self.headers = headers
        self.dropped: tuple[str, ...] = ()
        self._body = body

    def chunks(self) -> AsyncIterator[bytes]:
        return self._body

    def close(self) -> None:
        self._body.close()


class Beginning(NamedTuple):
    """How every request of an account to one address begins, and the way there."""

    url: URL
    head: bytes
    door: Door


class HTTPProvider:
    """Base of providers over HTTP. Override what is not as usual, or hand it in as data.

    `paths` are by dialect ("openai.chat": "/chat/completions"), or by dialect and operation
    ("anthropic.messages/count") where one has a path of its own, and follow `base_url`. `rules` read errors
    before the table of statuses does; `family` names the headers that state limits.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        context: BuildContext,
        *,
        base_url: str,
        paths: Mapping[str, str],
        rules: Sequence[ErrorRule] = (),
        family: Sequence[LimitHeaders] = (),
    ) -> None:
        self.settings = settings
        self.base_url = URL(base_url)
        self.clock = context.clock
        self.rules = rules
        self.family = family
        self._stated = frozenset(name for one in family for name in (one.limit, one.remaining))
        self._transport = guarded(context.transport)
        self._direct = self._transport if isinstance(self._transport, PooledTransport) else None
        self._beginnings: dict[tuple[str, int, str], Beginning] = {}
        self._urls = {dialect: URL(base_url + path) for dialect, path in paths.items()}
        self._secrets = tuple(one.api_key.reveal().strip() for one in settings.accounts if one.api_key)
        self._prepared = {one.id: self._prepare(self.headers(one)) for one in settings.accounts}
        self._prepared[NOBODY] = self._prepare({})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.settings.name}>"

    # ---- what a subclass may say otherwise -----------------------------------------------------------

    def url(self, call: Call) -> URL:
        """Where a call goes."""
        own = self._urls.get(f"{call.wire.dialect}/{call.op}")
        return own or self._urls[call.wire.dialect]

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        """The headers of every call of an account, made once. One that is "" is left out."""
        return {"authorization": f"Bearer {account.api_key.reveal().strip()}"} if account.api_key else {}

    def passed(self, call: Call) -> Mapping[str, str]:
        """The client's own headers that go on; those of the account win."""
        return call.headers

    def bend(self, call: Call) -> Fields:
        """The fields as this vendor wants them; may not change those of the call."""
        return call.fields

    def secrets(self) -> tuple[str, ...]:
        """What no message may repeat."""
        return self._secrets

    def hint(self, headers: Mapping[str, str], message: str, now: float) -> float | None:
        """When to come back, in seconds of the clock, if the answer says so."""
        return retry_at(headers, message, now, self.family)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """What an answer means, by `rules`, else by its status."""
        good = status < 300 and not body
        if good and self._stated.isdisjoint(headers):  # most state no limits
            return GOOD
        now = self.clock()
        seen = sightings(headers, self.family, now)
        if good:
            return Verdict(None, seen)
        said = _redirect(headers) if 300 <= status < 400 else read_error(body, self.secrets())
        hint = self.hint(headers, said.message, now)
        return Verdict(classify(status, said, self.rules, now=now, retry_at=hint), seen)

    # ---- carrying --------------------------------------------------------------------------------------

    async def send(self, call: Call) -> HTTPReply:
        """Carry a call; how long it may take is watched by who calls. Raises TransportError."""
        fields = self.bend(call)
        body = msgspec.json.encode(fields)
        reply = HTTPReply(*await self._ask("POST", self.url(call), call.account.id, body, self.passed(call)))
        if fields is not call.fields:
            reply.dropped = _dropped(call.fields, fields)
        return reply

    async def fetch(self, path: str, account: str = NOBODY, body: bytes = b"") -> Any:
        """The JSON that a GET of `base_url` + `path` gives, or a POST of `body`, in the name of an account.

        Raises LLMRouterError with what was said instead.
        """
        url = URL(str(self.base_url) + path)
        try:
            async with asyncio.timeout(PATIENCE):
                reply = HTTPReply(*await self._ask("POST" if body else "GET", url, account, body))
                body = await _whole(reply)
        except TimeoutError as error:
            raise TransportError("stall", f"{url.host}{url.path} took longer than {PATIENCE:g} s") from error
        failure = self.judge(reply.status, reply.headers, b"" if reply.status < 300 else body).failure
        if failure:
            raise LLMRouterError(f"{self.settings.name}: {failure.kind}: {failure.message}")
        try:
            return msgspec.json.decode(body)
        except msgspec.MsgspecError as error:
            raise LLMRouterError(f"{self.settings.name}: {url.path} gave no JSON: {error}") from error

    def _ask(
        self,
        method: str,
        url: URL,
        account: str,
        body: bytes = b"",
        passed: Mapping[str, str] | None = None,
    ) -> Awaitable[Answered]:
        theirs = self._theirs(passed, account) if passed else ()
        if self._direct is not None:
            _, head, door = self._beginning(self._direct, method, url, account)
            if body:
                head += b"content-length: %d\r\n" % len(body)
            return door.ask(lines(theirs, head) if theirs else head, body)
        length = [(b"content-length", b"%d" % len(body))] if body else []
        headers = [(b"host", url.netloc), *self._prepared[account], *length, *theirs]
        request = Request(method, url, headers=headers, stream=ByteStream(body))
        return self._carried(request)

    async def _carried(self, request: Request) -> Answered:
        """The same over any other transport."""
        response = await self._transport.handle_async_request(request)
        return Answered(response.status_code, joined(response.headers.raw), cast(Body, response.stream))

    def _theirs(self, passed: Mapping[str, str], account: str) -> Sequence[Pair]:
        """The headers of the client that go on beside those of the account."""
        ours = {b"host", b"content-length", *(name for name, _ in self._prepared[account])}
        theirs = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in passed.items()]
        return [pair for pair in theirs if pair[0] not in ours]

    def _beginning(self, direct: PooledTransport, method: str, url: URL, account: str) -> Beginning:
        key = (method, id(url), account)
        found = self._beginnings.get(key)
        if found is None:
            head = head_of(method, url, [(b"host", url.netloc), *self._prepared[account]])
            found = Beginning(url, head, direct.door(url))
            if any(url is one for one in self._urls.values()):  # it stays, so its id is no other's
                self._beginnings[key] = found
        return found

    def _prepare(self, own: Mapping[str, str]) -> Sequence[Pair]:
        said = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"llmrouter/{__version__}",
            **{name.lower(): value for name, value in own.items()},
        }
        return tuple((name.encode("ascii"), value.encode("latin-1")) for name, value in said.items() if value)


def _dropped(before: Fields, after: Fields) -> tuple[str, ...]:
    """Fields whose value is not carried under any name. Messages, items and tools are bent, never dropped."""
    carried = {id(value) for value in after.values()}
    return tuple(name for name, value in before.items() if id(value) not in carried and name not in REBUILT)


def _redirect(headers: Mapping[str, str]) -> Said:
    target = headers.get("location", "elsewhere").partition("?")[0][:500]
    return Said(f"The upstream has moved to {target}: write its address into base_url")


async def _whole(reply: HTTPReply) -> bytes:
    body = bytearray()
    try:
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > MOST_READ:
                raise LLMRouterError(f"an answer of more than {MOST_READ} bytes")
    finally:
        reply.close()
    return bytes(body)

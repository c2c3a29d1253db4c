"""The contract of a provider over HTTP, which brings the upstream along: a few lines are all there is to say.

class TestAcme(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Chat()
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from attrs import evolve

from llmrouter.dialects import builtin
from llmrouter.http import open_transport
from llmrouter.protocols import Dialect, Provider, Reply, Transport
from llmrouter.settings import AccountSettings, ModelSettings, ProviderSettings, Secret
from llmrouter.types import Call, Event, Fault, Finish, Result, Text, Wire

from .context import FakeContext
from .judging import EXPECTED
from .provider import ProviderContract
from .provider_hooks import settled
from .speaker import Speaker
from .upstream import Upstream
from .upstream_line import Received, Script
from .upstream_scripts import JSON, answer, chosen

KEY = "topsecret-0123456789"
PAUSE = 0.002  # seconds between the events of a stream


class HTTPProviderContract(ProviderContract):
    """Subclass it as `TestMyProvider` and set `descriptor` and `speaker`; the rest has a default that fits most.

    Calls go over real sockets to a loopback upstream that speaks for the vendor.
    """

    speaker: Speaker
    entry: Mapping[str, Any] = {}
    """What an entry of `providers` needs beside its key and its address."""
    model = "some-model"
    key = KEY
    secrets = (KEY,)
    client: Literal["pooled", "httpx"] = "pooled"
    listed: Mapping[str, Any] = {"object": "list", "data": [{"id": "some-model"}]}
    """The answer to every GET: where an upstream lists its models."""
    execute = staticmethod(asyncio.run)

    def config(self, base_url: str = "http://up.example") -> ProviderSettings:
        accounts = (AccountSettings(id="up", api_key=Secret(self.key)), AccountSettings(id="off", enabled=False))
        settings: ProviderSettings = self.descriptor.config(
            name="up",
            plugin=self.descriptor.name,
            base_url=base_url,
            accounts=accounts,
            models={self.model: ModelSettings()},
            **self.entry,
        )
        return settings

    def call(self, stream: bool) -> Call:
        endpoint = next(one for one in self.descriptor.endpoints(self.config()) if one.model == self.model)
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in self.asks(stream).items()}
        wire = Wire(self.speaker.dialect, stream)
        return Call(endpoint=endpoint, account=endpoint.accounts[0], op=self.speaker.op, wire=wire, fields=fields)

    def asks(self, stream: bool) -> Mapping[str, Any]:
        """The body of a call."""
        return self.speaker.asks(self.model, stream)

    def provider(self) -> Any:
        return self.over(self.upstream())

    def upstream(self) -> Script:
        """Answers everything well: what was asked, and the list of models."""
        apart = evolve(self.speaker, delay=self.speaker.delay or PAUSE)  # or a stream may arrive in one piece
        listing, speaking = answer(200, JSON, self.listed), apart.answer()
        return chosen(lambda request: listing if request.method == "GET" else speaking)

    def scripted(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        return self.over(answer(status, headers, body))

    def unreachable(self) -> Any:
        return self.over(self.upstream(), there=False)

    @property
    def streams(self) -> bool:
        return self.speaker.op == "chat"

    @asynccontextmanager
    async def over(self, script: Script, there: bool = True) -> AsyncIterator[Provider]:
        """The provider, built as the router builds it, over an upstream that follows a script."""
        with Upstream(script) as upstream:
            if not there:
                upstream.refuse()
            async with open_transport(connect=5, limit=None, kind=self.client) as transport:
                context = FakeContext("up", transport=transport)
                async with self.opened(self.descriptor.build(self.config(upstream.base_url), context)) as provider:
                    yield provider

    # ---- what goes out

    def sent(self, stream: bool) -> Received:
        seen: list[Received] = []

        def choose(request: Received) -> Script:
            seen.append(request)
            return self.speaker.answer()

        async def main() -> None:
            async with self.over(chosen(choose)) as provider:
                reply = await provider.send(self.asked(stream))
                _ = [chunk async for chunk in reply.chunks()]
                reply.close()
            await settled()

        self.execute(main())
        assert len(seen) == 1, "a call is sent once"
        return seen[0]

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_what_it_sends_is_a_request_of_the_dialect(self, stream: bool) -> None:
        sent = self.sent(stream)
        assert sent.method == "POST"
        assert "application/json" in sent.headers["content-type"]
        assert isinstance(sent.json, dict)
        assert self.speaker.streams(sent) == (stream and self.streams), "it asks for the shape that was wanted"

    def test_its_key_goes_along_in_a_header_and_nowhere_else(self) -> None:
        sent = self.sent(False)
        assert [name for name, value in sent.headers.items() if self.key in value], "without its key"
        assert self.key not in sent.path, "addresses are written into logs"
        assert self.key.encode() not in sent.body

    # ---- what the vendor itself says

    def recorded(self, cassette: Path, variable: str, stream: bool = False) -> list[Event]:
        """What the vendor's answer to the call means, as a cassette has it.

        Under `LLMROUTER_RECORD=1` the vendor is asked, with the key that the environment has in `variable`, and the
        cassette is written anew where it answered. Needs vcrpy.
        """
        from .cassettes import played, recording  # only who has cassettes needs what plays them

        record = recording()
        key = os.environ[variable] if record else self.key
        account = AccountSettings(id="up", api_key=Secret(key))

        async def main(transport: Transport) -> list[Event]:
            config = evolve(self.config(), base_url=None, accounts=(account,))
            async with self.opened(
                self.descriptor.build(config, FakeContext("up", transport=transport))
            ) as provider:
                reply, events = await self._heard(provider, stream)
            assert reply.status == 200, f"it was refused: {reply.status}"
            return events

        return played(cassette, main, [key], record)

    # ---- what comes back

    def _dialect(self) -> Dialect:
        known = {one.name: one for one in (*builtin(), *self.descriptor.dialects)}
        return known[self.speaker.dialect]

    async def _heard(self, provider: Provider, stream: bool) -> tuple[Reply, list[Event]]:
        reader = self._dialect().reader(self.speaker.op, stream)
        reply = await provider.send(self.asked(stream))
        try:
            frames = [frame async for chunk in reply.chunks() for frame in reader.feed(chunk)]
        finally:
            reply.close()
        return reply, [event for frame in [*frames, *reader.end()] for event in frame.events]

    def _events(self, stream: bool, script: Script) -> tuple[list[Event], Any]:
        """What an answer means, and what the provider says of the first fault in it."""

        async def main() -> tuple[list[Event], Any]:
            async with self.over(script) as provider:
                reply, events = await self._heard(provider, stream)
                fault = next((one for one in events if isinstance(one, Fault)), None)
                verdict = provider.judge(reply.status, reply.headers, fault.body) if fault else None
            await settled()
            return events, verdict

        found: tuple[list[Event], Any] = self.execute(main())
        return found

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_what_it_carries_is_read_by_the_dialect(self, stream: bool) -> None:
        events, _ = self._events(stream and self.streams, self.speaker.answer())
        assert not [event for event in events if isinstance(event, Fault)]
        assert any(isinstance(event, Finish) for event in events)
        said = "".join([event.text for event in events if isinstance(event, Text)])
        assert said == self.speaker.text if self.streams else any(isinstance(one, Result) for one in events)

    def test_an_error_in_the_middle_of_an_answer_is_understood(self) -> None:
        events, verdict = self._events(False, answer(200, JSON, self.speaker.error()))
        assert any(isinstance(event, Fault) for event in events)
        assert verdict.failure, "an error inside a good status"

    @pytest.mark.parametrize("status", EXPECTED)
    def test_an_error_in_the_vendors_own_words_is_understood(self, status: int) -> None:
        body = msgspec.json.encode(self.speaker.error(status, "no such luck"))
        failure = self.failure(status, JSON, body)
        assert failure.kind in EXPECTED[status]
        assert failure.message == "no such luck"

"""The contract of a provider, whatever carries its calls."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from llmrouter.protocols import ListsModels, Provider, ProviderType, Reply
from llmrouter.settings import ProviderSettings
from llmrouter.types import Endpoint

from .descriptors import check_descriptor
from .judging import JudgingContract
from .provider_hooks import settled

NAME_CHARACTERS = set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class ProviderContract(JudgingContract):
    """Subclass it as `TestMyProvider`, set `descriptor`, and say how to make a provider and a call.

    What to say is in `ProviderHooks`: `config`, `provider` and `call`; `scripted`, `unreachable` and
    `secrets` where they apply. For a provider over HTTP most of it is said in `HTTPProviderContract`.
    """

    # ---- what it is

    def test_its_descriptor_is_sane(self) -> None:
        assert isinstance(self.descriptor, ProviderType)
        check_descriptor(self.descriptor)
        assert issubclass(self.descriptor.config, ProviderSettings)
        assert not self.descriptor.suggest({}), "without a key in the environment there is nothing to suggest"
        if self.descriptor.demo is not None:
            assert self.descriptor.demo["providers"], "a demonstration has providers"
            msgspec.json.encode(self.descriptor.demo)

    def test_its_endpoints_can_be_routed_to(self) -> None:
        config = self.config()
        endpoints = list(self.descriptor.endpoints(config))
        assert endpoints
        assert endpoints == list(self.descriptor.endpoints(config)), "they are the same whenever asked"
        assert len({one.id for one in endpoints}) == len(endpoints)
        for one in endpoints:
            assert isinstance(one, Endpoint)
            assert one.provider == config.name
            assert one.model
            assert one.dialects
            assert len(set(one.dialects)) == len(one.dialects)
            assert one.accounts
            assert len({account.id for account in one.accounts}) == len(one.accounts)
            assert all(account.group for account in one.accounts)

    def test_an_account_that_is_switched_off_gets_no_calls(self) -> None:
        config = self.config()
        off = {account.id for account in config.accounts if not account.enabled}
        for one in self.descriptor.endpoints(config):
            assert not off & {account.id for account in one.accounts}

    def test_it_says_which_models_there_are_if_it_can(self) -> None:
        async def main() -> None:
            async with self.opened(self.provider()) as provider:
                if isinstance(provider, ListsModels):
                    found = await provider.models(self.call(False).account.id)
                    assert all(isinstance(one, Endpoint) for one in found)
            await settled()

        self.execute(main())

    # ---- carrying

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_a_call_is_answered(self, stream: bool) -> None:
        async def body(reply: Reply) -> None:
            assert reply.status == 200
            assert reply.headers["content-type"]
            assert all(name and set(name) <= NAME_CHARACTERS for name in reply.headers), "lower-case names"
            chunks = [chunk async for chunk in reply.chunks()]
            assert chunks
            assert all(type(chunk) is bytes for chunk in chunks)
            assert len(chunks) > 1 or not (stream and self.streams), "a stream comes in pieces"

        self.with_reply(stream, body)

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_a_call_is_left_as_it_was(self, stream: bool) -> None:
        async def main() -> None:
            call = self.asked(stream)
            before = dict(call.fields), dict(call.headers)
            async with self.opened(self.provider()) as provider:
                (await provider.send(call)).close()
            assert (dict(call.fields), dict(call.headers)) == before
            await settled()

        self.execute(main())

    def test_answers_at_the_same_time_do_not_mix(self) -> None:
        async def one(provider: Provider, stream: bool) -> int:
            reply = await provider.send(self.asked(stream))
            try:
                return sum([len(chunk) async for chunk in reply.chunks()])
            finally:
                reply.close()

        async def main() -> None:
            async with self.opened(self.provider()) as provider:
                sizes = await asyncio.gather(*(one(provider, number % 2 == 0) for number in range(8)))
            assert all(sizes)
            await settled()

        self.execute(main())

    # ---- closing

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_closed_before_it_is_read_it_gives_nothing(self, stream: bool) -> None:
        async def body(reply: Reply) -> None:
            reply.close()
            assert [chunk async for chunk in reply.chunks()] == []

        self.with_reply(stream, body)

    def test_closed_between_two_chunks_it_ends(self) -> None:
        async def body(reply: Reply) -> None:
            chunks = reply.chunks()
            assert await anext(chunks)
            reply.close()
            assert [chunk async for chunk in chunks] == []

        self.with_reply(True, body)

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_closed_while_somebody_waits_for_a_chunk_it_ends(self, stream: bool) -> None:
        async def read(reply: Reply) -> None:
            async for _ in reply.chunks():
                pass

        async def body(reply: Reply) -> None:
            reading = asyncio.ensure_future(read(reply))
            await asyncio.sleep(0)
            reply.close()
            async with asyncio.timeout(1):
                await reading

        self.with_reply(stream, body)

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    def test_closed_after_it_was_read_and_twice_nothing_happens(self, stream: bool) -> None:
        async def body(reply: Reply) -> None:
            async for _ in reply.chunks():
                pass
            reply.close()
            reply.close()

        self.with_reply(stream, body)

    @pytest.mark.parametrize("steps", [0, 1, 2, 5])
    def test_a_cancelled_reader_leaves_nothing_behind(self, steps: int) -> None:
        async def read(reply: Reply) -> None:
            async for _ in reply.chunks():
                await asyncio.sleep(0)

        async def body(reply: Reply) -> None:
            reading = asyncio.ensure_future(read(reply))
            for _ in range(steps):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            reply.close()

        self.with_reply(True, body)

    @pytest.mark.parametrize("steps", [0, 1, 2, 5])
    def test_a_cancelled_call_leaves_nothing_behind(self, steps: int) -> None:
        async def main() -> None:
            async with self.opened(self.provider()) as provider:
                sending = asyncio.ensure_future(provider.send(self.call(False)))
                for _ in range(steps):
                    await asyncio.sleep(0)
                sending.cancel()
                for reply in await asyncio.gather(sending, return_exceptions=True):
                    if not isinstance(reply, BaseException):
                        reply.close()
            await settled()

        self.execute(main())

"""Names, addresses and certificates: how connections are opened."""

# ruff: noqa: TID251 (what is tested here is the room that knows the HTTP clients)
from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmrouter.chaos.arranged import certificate
from llmrouter.errors import TransportError
from llmrouter.http import open_transport
from llmrouter.http.dial import NAME_TTL, Infos, Names
from llmrouter.http.pool import PooledTransport
from llmrouter.testing import run
from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_faults import faults
from llmrouter.testing.upstream_openai import chat
from llmrouter.testing.upstream_scripts import chosen

PATIENCE = 1.0
"""Seconds that a head or a piece of a body may take; the catalogue's faults are silent for ever."""
MOST = 1 << 20  # bytes of a body that are looked at
FAULTS = {fault.name: fault for fault in faults() if fault.name != "giant_event"}

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="there is no program `openssl` to make a certificate with"
)


class Resolver:
    """Knows some names, and counts what it is asked."""

    def __init__(self, *addresses: str, seconds: float = 1.0) -> None:
        self.asked, self.addresses, self.seconds = 0, addresses, seconds
        self.error: Exception | None = None

    async def __call__(self, host: str, port: int) -> Infos:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        found = [socket.getaddrinfo(one, port, type=socket.SOCK_STREAM) for one in self.addresses]
        return [info for infos in found for info in infos]


def addresses(infos: Infos) -> list[Any]:
    return [info[4][0] for info in infos]


def test_many_that_ask_for_a_name_at_once_are_one_look_up_and_addresses_take_turns() -> None:
    async def main() -> None:
        resolver = Resolver("127.0.0.1", "127.0.0.2")
        names = Names(resolver)
        found = await asyncio.gather(*(names.find("acme", 80) for _ in range(3)))
        assert resolver.asked == 1
        assert sorted(addresses(infos)[0] for infos in found) in (
            ["127.0.0.1", "127.0.0.1", "127.0.0.2"],
            ["127.0.0.1", "127.0.0.1", "127.0.0.1"],
        )
        turns = [addresses(await names.find("acme", 80))[0] for _ in range(4)]
        assert turns[0] != turns[1] == turns[3] != turns[2]
        await asyncio.sleep(NAME_TTL)
        await names.find("acme", 80)
        assert resolver.asked == 2

    run(main())


def test_addresses_ask_nobody() -> None:
    async def main() -> None:
        resolver = Resolver()
        assert addresses(await Names(resolver).find("::1", 80)) == ["::1"]
        assert resolver.asked == 0

    run(main())


def test_a_look_up_outlives_who_asked_and_its_failure_is_not_kept() -> None:
    async def main() -> None:
        resolver = Resolver("127.0.0.1")
        resolver.error = socket.gaierror(socket.EAI_AGAIN, "try again")
        names = Names(resolver)
        left, stays = asyncio.ensure_future(names.find("acme", 80)), asyncio.ensure_future(names.find("acme", 80))
        await asyncio.sleep(0.5)
        left.cancel()
        with pytest.raises(socket.gaierror):
            await stays
        resolver.error = None
        assert addresses(await names.find("acme", 80)) == ["127.0.0.1"]
        assert resolver.asked == 2

    run(main())


def test_nobody_is_told_of_a_look_up_that_failed_after_all_have_left() -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        resolver = Resolver()
        asking = asyncio.ensure_future(Names(resolver).find("acme", 80))
        await asyncio.sleep(0.5)
        asking.cancel()
        await asyncio.sleep(1)
        assert resolver.asked == 1
        gc.collect()
        assert not told

    run(main())


def test_a_name_without_addresses_is_unknown() -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror, match="acme has no address"):
            await Names(Resolver()).find("acme", 80)

    run(main())


def test_a_transport_that_closes_ends_its_look_ups() -> None:
    async def main() -> None:
        transport = PooledTransport(5, None, Resolver("127.0.0.1"))
        asking = asyncio.ensure_future(transport.handle_async_request(httpx.Request("GET", "http://acme/")))
        await asyncio.sleep(0.5)
        await transport.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert transport.active == 0

    run(main())


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid"])
def test_a_name_that_cannot_be_one_is_a_connect_error(host: str) -> None:
    with pytest.raises(TransportError) as caught:
        asyncio.run(_ask(f"http://{host}/"))
    assert (caught.value.kind, caught.value.sent) == ("connect", False)


async def _ask(url: str) -> None:
    async with open_transport(connect=5, limit=None) as transport:
        await transport.handle_async_request(httpx.Request("GET", url))


def test_the_second_address_is_tried_where_the_first_refuses() -> None:
    async def main(upstream: Upstream) -> None:
        transport = PooledTransport(5, None, Resolver("127.0.0.2", "127.0.0.1", seconds=0.0))
        try:
            response = await transport.handle_async_request(_chat(f"http://acme:{upstream.port}"))
            assert response.status_code == 200
            response.stream.close()  # type: ignore[union-attr]
        finally:
            await transport.aclose()

    with Upstream(chat()) as upstream:
        asyncio.run(main(upstream))


# --- TLS


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for this machine, which the system trusts."""
    context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    return context


def _chat(base: str, path: str = "", stream: bool = False) -> httpx.Request:
    said = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    url = f"{base}{path}/v1/chat/completions"
    return httpx.Request("POST", url, json=said, extensions={"timeout": {"read": PATIENCE}})


@needs_openssl
def test_over_tls_an_answer_comes_whole_and_the_connection_is_kept(tls: ssl.SSLContext) -> None:
    async def main() -> None:
        async with open_transport(connect=5, limit=None) as transport:
            for _ in range(2):
                response = await transport.handle_async_request(_chat(upstream.base_url))
                assert b"chat.completion" in b"".join([one async for one in response.stream])

    with Upstream(chat(), tls=tls) as upstream:
        asyncio.run(main())
        assert {request.connection for request in upstream.requests} == {1}


@needs_openssl
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_over_tls_every_fault_looks_as_it_does_without(tls: ssl.SSLContext, stream: bool) -> None:
    with Upstream(chosen(_by_path)) as plain, Upstream(chosen(_by_path), tls=tls) as secure:
        found = [asyncio.run(_seen_at(upstream.base_url, stream)) for upstream in (plain, secure)]
    assert found[0] == found[1]
    assert len(found[0]) > 40


def _by_path(request: Received) -> Script:
    return FAULTS[request.path.split("/")[1]].script


async def _seen_at(base: str, stream: bool) -> dict[str, Any]:
    """What a transport makes of every fault: status and body, or how it failed."""
    async with open_transport(connect=5, limit=None) as transport:
        seen = await asyncio.gather(*(_seen(transport, _chat(base, f"/{name}", stream)) for name in FAULTS))
        assert transport.active == 0  # type: ignore[attr-defined]
    return dict(zip(FAULTS, seen, strict=True))


async def _seen(transport: Any, request: httpx.Request) -> tuple[object, ...]:
    body = b""
    try:
        response = await transport.handle_async_request(request)
    except TransportError as error:
        return error.kind, error.sent
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in response.stream:
                body += chunk
                if len(body) > MOST:
                    return response.status_code, "a lot"
    except TransportError as error:
        return response.status_code, _steady(body), error.kind
    except TimeoutError:
        return response.status_code, "silence"
    finally:
        response.stream.close()
    return response.status_code, _steady(body)


def _steady(body: bytes) -> int:
    """What is the same each time: answers hold ids and times of one length."""
    return len(body)


@needs_openssl
def test_a_certificate_that_nobody_signed_is_a_connect_error(tmp_path: Path) -> None:
    with Upstream(chat(), tls=certificate(tmp_path)) as upstream, pytest.raises(TransportError) as caught:
        asyncio.run(_ask(upstream.base_url))
    assert (caught.value.kind, caught.value.sent) == ("connect", False)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)

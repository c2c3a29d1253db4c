"""Recorded exchanges behind a whole router, for the SDK to call as their clients once did."""

from __future__ import annotations

import inspect
import json
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import openai
from attrs import define, field, frozen

from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_scripts import chosen, replay
from tests.harness import Serving, serving
from tests.recordings.deviations import profile_of
from tests.recordings.library import Exchange
from tests.recordings.replaying import HOP

from .said import Body

KEY = "a-key-of-the-router"


@frozen
class Got:
    """What the SDK made of an answer: one object, or the chunks of a stream."""

    headers: Mapping[str, str]
    parsed: Sequence[Any]

    @property
    def bodies(self) -> list[Body]:
        """As JSON, without what the upstream did not say."""
        return [one.to_dict(mode="json", warnings=False) for one in self.parsed]

    @property
    def cache(self) -> str:
        return self.headers["x-llmrouter-cache"]


@define(eq=False)
class Replays:
    """A router in front of the recordings, the SDK in front of it. Every exchange is a group of its own name."""

    router: Serving
    upstream: Upstream
    client: openai.OpenAI
    names: Mapping[str, str] = field(repr=False)  # exchange → group and provider entry

    def ask(self, exchange: Exchange, **more: Any) -> Got:
        """The recorded request asked again, but for `more`. Raises what the SDK raises."""
        arguments = self._arguments(exchange, more)
        raw = _resource(self.client, exchange.endpoint).with_raw_response.create(**arguments)
        answer = raw.parse()
        return Got(raw.headers, list(answer) if arguments.get("stream") else [answer])

    async def ask_async(self, client: openai.AsyncOpenAI, exchange: Exchange) -> Got:
        """The same by the asynchronous client."""
        arguments = self._arguments(exchange, {})
        raw = await _resource(client, exchange.endpoint).with_raw_response.create(**arguments)
        answer = raw.parse()
        return Got(raw.headers, [one async for one in answer] if arguments.get("stream") else [answer])

    def received(self, exchange: Exchange) -> list[Received]:
        """The requests that reached the upstream of an exchange."""
        return [one for one in self.upstream.requests if _entry_of(one) == self.names[exchange.id]]

    def _arguments(self, exchange: Exchange, more: Mapping[str, Any]) -> Body:
        asked = {**exchange.asked, "model": self.names[exchange.id], **more}
        if asked.get("encoding_format") == "base64":
            del asked["encoding_format"]  # what the SDK asks for by itself it also decodes
        known = inspect.signature(_resource(self.client, exchange.endpoint).create).parameters
        own = {name: value for name, value in asked.items() if name in known}
        return {**own, "extra_body": {name: value for name, value in asked.items() if name not in known}}


@contextmanager
def replays(exchanges: Sequence[Exchange], **more: Any) -> Iterator[Replays]:
    """`more` is configuration. Each exchange has a provider entry, so that the hold of one refuses no other."""
    names = {exchange.id: f"{exchange.provider}-{number}" for number, exchange in enumerate(exchanges)}
    by_name = {names[exchange.id]: exchange for exchange in exchanges}
    with Upstream(chosen(lambda request: _script(by_name[_entry_of(request)]))) as upstream:
        config = {
            "providers": {name: _entry(upstream, name, one) for name, one in by_name.items()},
            "groups": {name: [f"{name}/{one.asked['model']}"] for name, one in by_name.items()},
            "engine": {"attempts": 1},
            "logging": {"level": "error"},
            **more,
        }
        with (
            serving(json.dumps(config)) as router,
            openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=0) as client,
        ):
            yield Replays(router, upstream, client, names)


def _resource(client: Any, endpoint: str) -> Any:
    resources = {"chat.completions": client.chat.completions, "completions": client.completions}
    return resources.get(endpoint, client.embeddings)


def _script(exchange: Exchange) -> Script:
    """The recorded answer, its bytes cut at random places that are the same in every run."""
    headers = {name: value for name, value in exchange.headers.items() if name not in HOP}
    headers.setdefault("content-type", "text/event-stream" if exchange.stream else "application/json")
    return replay(exchange.status, headers, exchange.body, random.Random(zlib.crc32(exchange.id.encode())))


def _entry(upstream: Upstream, name: str, exchange: Exchange) -> Mapping[str, Any]:
    profile = profile_of(exchange.provider)
    return {"plugin": "openai", "profile": profile, "base_url": f"{upstream.base_url}/{name}/v1", "api_key": KEY}


def _entry_of(request: Received) -> str:
    return request.path.split("/")[1]

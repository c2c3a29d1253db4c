"""One upstream in process, and requests to it as a client would write them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from llmrouter_provider_echo import build
from llmrouter_provider_echo.config import EchoSettings, endpoints
from llmrouter_provider_echo.provider import Echo
from llmrouter_provider_echo.reply import EchoReply

from llmrouter.settings import ModelSettings
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.types import Call, Fields, Wire

PATHS = {"chat": "openai.chat", "completions": "openai.completions", "embeddings": "openai.embeddings"}


def fields(body: dict[str, Any]) -> Fields:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}


class Client:
    """Sends bodies and reads answers; `settings` are the upstream's own keys."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("models", {"m": ModelSettings()})
        self.config = EchoSettings(name="echo", plugin="echo", **settings)
        self.context = FakeContext("echo")
        self.upstream: Echo = build(self.config, self.context)

    def call(self, path: str, body: dict[str, Any], account: int = 0, timeout: float = 30.0) -> Call:
        endpoint = endpoints(self.config)[0]
        return Call(
            endpoint=endpoint,
            account=endpoint.accounts[account],
            op="embed" if path == "embeddings" else "chat",
            wire=Wire(PATHS.get(path, path), bool(body.get("stream"))),
            fields=fields({"model": "m", **body}),
            timeout=timeout,
        )

    async def send(self, path: str, account: int = 0, **body: Any) -> EchoReply:
        return await self.upstream.send(self.call(path, body, account))

    def raw(self, path: str, **body: Any) -> tuple[int, dict[str, str], bytes]:
        async def main() -> tuple[int, dict[str, str], bytes]:
            reply = await self.send(path, **body)
            return reply.status, dict(reply.headers), b"".join([chunk async for chunk in reply.chunks()])

        return run(main())

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """A plain answer that must be good."""
        status, _, data = self.raw(path, **body)
        assert status == 200, data
        decoded: dict[str, Any] = msgspec.json.decode(data)
        return decoded

    def refused(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Status and error object of an answer that must be none."""
        status, _, data = self.raw(path, **body)
        assert status >= 400, data
        return status, msgspec.json.decode(data)["error"]

    def events(self, path: str, **body: Any) -> list[dict[str, Any]]:
        """The events of a stream that must end well."""
        status, headers, data = self.raw(path, stream=True, **body)
        assert status == 200, data
        assert headers["content-type"].startswith("text/event-stream")
        lines = data.decode().split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        return [msgspec.json.decode(line.removeprefix("data: ")) for line in lines[:-2]]

    def chat(self, text: Any = "hello", **body: Any) -> dict[str, Any]:
        """The first choice of a plain chat about one user message."""
        body.setdefault("messages", [{"role": "user", "content": text}])
        choice: dict[str, Any] = self.post("chat", **body)["choices"][0]
        return choice

    def says(self, text: Any, **body: Any) -> str:
        said: str = self.chat(text, **body)["message"]["content"]
        return said


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def make() -> type[Client]:
    return Client

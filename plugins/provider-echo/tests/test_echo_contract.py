"""The echo is a provider like any other."""

from __future__ import annotations

from typing import Any

import msgspec
from llmrouter_provider_echo import build, llmrouter_register_providers
from llmrouter_provider_echo.config import EchoSettings, endpoints

from llmrouter.settings import AccountSettings, Secret
from llmrouter.testing.context import FakeContext
from llmrouter.testing.provider import ProviderContract
from llmrouter.types import Call, Wire


class TestContract(ProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    secrets = ("sk-first-0123456789", "sk-second-987654321")

    def config(self, **keys: Any) -> EchoSettings:
        accounts = (
            AccountSettings(id="one", api_key=Secret(self.secrets[0])),
            AccountSettings(id="two", api_key=Secret(self.secrets[1]), enabled=False),
        )
        return EchoSettings(
            name="upstream", plugin="echo", accounts=accounts, latency=0.01, token_delay=0.01, **keys
        )

    def provider(self) -> Any:
        return build(self.config(), FakeContext("upstream"))

    def call(self, stream: bool) -> Call:
        endpoint = endpoints(self.config())[0]
        body = {"model": endpoint.model, "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
        return Call(
            endpoint=endpoint,
            account=endpoint.accounts[0],
            op="chat",
            wire=Wire("openai.chat", stream),
            fields={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()},
        )

    def scripted(self, status: int, headers: Any, body: bytes) -> Any:
        return build(self.config(failure_rate=1.0, failure=status), FakeContext("upstream"))

    def unreachable(self) -> Any:
        return build(self.config(failure_rate=1.0, failure="connect"), FakeContext("upstream"))

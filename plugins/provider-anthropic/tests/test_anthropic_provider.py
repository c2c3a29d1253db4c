from __future__ import annotations

from types import MappingProxyType

from llmrouter_provider_anthropic import llmrouter_register_providers

from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_anthropic import Count, Messages

(DESCRIPTOR,) = llmrouter_register_providers()


class TestOverAiohttp(HTTPProviderContract):
    descriptor = DESCRIPTOR
    speaker = Messages(delay=0.002)
    entry = MappingProxyType({"profile": "custom"})


class TestOverHttpx(TestOverAiohttp):
    client = "httpx"


class TestCount(TestOverAiohttp):
    speaker = Count()

from __future__ import annotations

from llmrouter_provider_vertex import llmrouter_register_providers

from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_gemini import Generate


class TestWithAKey(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Generate()

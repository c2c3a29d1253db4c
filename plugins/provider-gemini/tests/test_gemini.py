from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter_provider_gemini import llmrouter_register_providers

from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_gemini import Embed, Generate


class TestGenerate(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Generate()
    listed: Mapping[str, Any] = {
        "models": [{"name": "models/some-model", "supportedGenerationMethods": ["generateContent"]}]
    }


class TestEmbed(TestGenerate):
    speaker = Embed()

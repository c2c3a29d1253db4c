"""For authors of providers that speak HTTP: the base class, readers of data files and of upstreams, httpx's types.

class Acme(HTTPProvider):
    def headers(self, account):
        return {"x-acme-key": account.api_key.reveal()}

def build(config, context):
    return Acme(config, context, base_url="https://api.acme.example/v1", paths={"openai.chat": "/chat"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmrouter.settings import AccountSettings, ModelSettings, ProviderSettings, Secret

from .described import ModelData, check_profile, names_in, price_of, read_data, read_yaml, rules_of, words_of
from .endpoints import accounts_of, base_url_of, card_of, endpoints_of, require_keys
from .google_models import Catalogue
from .limits import FAMILIES, LimitHeaders, moment, retry_at, sightings
from .refusals import SCOPES, ErrorRule, Said, classify, read_error, redacted

if TYPE_CHECKING:
    from llmrouter.http import (
        URL,
        AsyncBaseTransport,
        AsyncByteStream,
        Body,
        ByteStream,
        Headers,
        MockTransport,
        Request,
        Response,
    )

    from .base import HTTPProvider, HTTPReply
    from .google import GoogleProvider

__all__ = [
    "FAMILIES",
    "SCOPES",
    "URL",
    "AccountSettings",
    "AsyncBaseTransport",
    "AsyncByteStream",
    "Body",
    "ByteStream",
    "Catalogue",
    "ErrorRule",
    "GoogleProvider",
    "HTTPProvider",
    "HTTPReply",
    "Headers",
    "LimitHeaders",
    "MockTransport",
    "ModelData",
    "ModelSettings",
    "ProviderSettings",
    "Request",
    "Response",
    "Said",
    "Secret",
    "accounts_of",
    "base_url_of",
    "card_of",
    "check_profile",
    "classify",
    "endpoints_of",
    "moment",
    "names_in",
    "price_of",
    "read_data",
    "read_error",
    "read_yaml",
    "redacted",
    "require_keys",
    "retry_at",
    "rules_of",
    "sightings",
    "words_of",
]


def __getattr__(name: str) -> Any:
    """What needs an HTTP client loads on first use: a configuration can be checked without one."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room = {"HTTPProvider": ".base", "HTTPReply": ".base", "GoogleProvider": ".google"}
    return getattr(import_module(room.get(name, "llmrouter.http"), __name__), name)

"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from llmrouter.provider import Catalogue, ProviderSettings, base_url_of, read_data, require_keys
from llmrouter.types import Endpoint

BASE_URL = "https://generativelanguage.googleapis.com"
VERSION = "v1beta"
SPOKEN = ("gemini.generate", "gemini.embed")
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
"""Variables that hold a key, best first: as Google's own SDKs name them."""


@frozen(kw_only=True)
class GeminiSettings(ProviderSettings):
    """Raises ValueError for an address that is none, and for an account without a key."""

    def __attrs_post_init__(self) -> None:
        self.address()
        require_keys(self, "Gemini")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version."""
        return base_url_of(self.base_url or BASE_URL, VERSION)


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def presets() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    found: Mapping[str, Any] = read_data(__package__, "limits.json")["presets"]
    return {name: preset["limits"] for name, preset in found.items()}


def catalogue() -> Catalogue:
    return Catalogue.read(__package__)


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models that are described, those of the configuration, and one endpoint for every other id."""
    return catalogue().endpoints(config, SPOKEN)


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry where a key stands in the environment."""
    key = next((one for one in KEYS if environ.get(one)), None)
    return {"gemini": {"plugin": "gemini", "api_key": f"${{{key}}}"}} if key else {}

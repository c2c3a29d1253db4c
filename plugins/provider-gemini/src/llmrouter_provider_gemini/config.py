"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from attrs import frozen

from llmrouter.provider import Catalogue, ProviderSettings, base_url_of
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
        missing = [one.id for one in self.accounts if one.enabled and not one.api_key]
        if missing and self.enabled:
            raise ValueError(f"Gemini needs a key: set `api_key` ({', '.join(missing)})")

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version."""
        return base_url_of(self.base_url or BASE_URL, VERSION)


def data(name: str) -> Any:
    """A data file of this package."""
    return json.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


def presets() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    found: Mapping[str, Any] = data("limits.json")["presets"]
    return {name: preset["limits"] for name, preset in found.items()}


def catalogue() -> Catalogue:
    return Catalogue.read(resources.files(__package__).joinpath("models.yaml").read_text("utf-8"))


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models that are described, those of the configuration, and one endpoint for every other id."""
    return catalogue().endpoints(config, SPOKEN)


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry where a key stands in the environment."""
    key = next((one for one in KEYS if environ.get(one)), None)
    return {"gemini": {"plugin": "gemini", "api_key": f"${{{key}}}"}} if key else {}

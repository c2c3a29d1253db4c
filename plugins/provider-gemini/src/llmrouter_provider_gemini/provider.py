"""Carries calls to the Gemini API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from llmrouter.protocols import BuildContext
from llmrouter.provider import AccountSettings, GoogleProvider, accounts_of
from llmrouter.types import Card, Endpoint

from .config import SPOKEN, GeminiSettings, catalogue

LIST = "/models?pageSize=1000"
MOST_PAGES = 20
_METHODS: Mapping[str, str] = {
    "generateContent": "gemini.generate",
    "embedContent": "gemini.embed",
    "batchEmbedContents": "gemini.embed",
}


class GeminiProvider(GoogleProvider):
    def __init__(self, config: GeminiSettings, context: BuildContext) -> None:
        super().__init__(config, context, base_url=config.address(), catalogue=catalogue())
        alone = [one.id for one in config.accounts if one.enabled and not one.quota_group]
        if len(alone) > 1:
            context.logger.warning(
                "%s: the limits of Gemini belong to a project, not to a key: accounts of one project need the same "
                "quota_group (without one are: %s)",
                config.name,
                ", ".join(alone),
            )

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        return {"x-goog-api-key": account.api_key.reveal().strip()} if account.api_key else {}

    async def models(self, account: str) -> Sequence[Endpoint]:
        """What Google lists for a key, with the windows it states."""
        listed: list[Any] = []
        token = ""
        for _ in range(MOST_PAGES):
            said = await self.fetch(LIST + (f"&pageToken={token}" if token else ""), account)
            page = said if isinstance(said, Mapping) else {}
            listed += page.get("models") or ()
            token = str(page.get("nextPageToken") or "")
            if not token:
                break
        found = [self._listed(one) for one in listed if isinstance(one, Mapping)]
        return [one for one in found if one.model and one.dialects]

    def _listed(self, one: Mapping[str, Any]) -> Endpoint:
        model = str(one.get("name") or "").removeprefix("models/")
        methods = one.get("supportedGenerationMethods") or ()
        offered = {_METHODS[method] for method in methods if method in _METHODS}
        card = self.catalogue.card(model)
        return Endpoint(
            provider=self.settings.name,
            model=model,
            dialects=tuple(dialect for dialect in SPOKEN if dialect in offered),
            accounts=accounts_of(self.settings),
            card=evolve(
                card, window=_window(one, card), max_output=card.max_output or _count(one, "outputTokenLimit")
            ),
        )


def _window(one: Mapping[str, Any], card: Card) -> int | None:
    return card.window or _count(one, "inputTokenLimit")


def _count(one: Mapping[str, Any], name: str) -> int | None:
    return value if isinstance(value := one.get(name), int) and value > 0 else None

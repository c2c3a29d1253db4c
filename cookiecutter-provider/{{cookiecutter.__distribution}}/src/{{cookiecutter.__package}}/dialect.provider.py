"""Carries calls to {{ cookiecutter.__title }}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter import BuildContext
from llmrouter.provider import FAMILIES, AccountSettings, ErrorRule, HTTPProvider, accounts_of
from llmrouter.types import Card, Endpoint

from .config import {{ cookiecutter.__class }}Settings
from .dialect import NAME

PATHS = {NAME: "/generate"}
RULES = (
    ErrorRule(kind="context_length", code=frozenset({"too_long"})),
    ErrorRule(kind="payment", code=frozenset({"out_of_credits"})),
)
"""What its errors mean. The first rule that matches counts, then the status."""


class {{ cookiecutter.__class }}Provider(HTTPProvider):
    def __init__(self, config: {{ cookiecutter.__class }}Settings, context: BuildContext) -> None:
        limits = FAMILIES["plain"]
        super().__init__(config, context, base_url=config.address(), paths=PATHS, rules=RULES, family=limits)

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        return {"x-api-key": account.api_key.reveal().strip()} if account.api_key else {}

    async def models(self, account: str) -> Sequence[Endpoint]:
        """What is listed for an account, with the windows that are stated."""
        said = await self.fetch("/models", account)
        listed = said.get("data") if isinstance(said, Mapping) else None
        known = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        return [self._listed(one) for one in known if isinstance(one.get("id"), str)]

    def _listed(self, one: Mapping[str, Any]) -> Endpoint:
        return Endpoint(
            provider=self.settings.name,
            model=one["id"],
            dialects=(NAME,),
            accounts=accounts_of(self.settings),
            card=Card(window=one.get("context_window")),
        )

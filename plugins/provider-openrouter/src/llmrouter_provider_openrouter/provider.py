"""Carries calls to OpenRouter as they are: its own fields go through, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from llmrouter.errors import LLMRouterError
from llmrouter.protocols import BuildContext
from llmrouter.provider import FAMILIES, SCOPES, AccountSettings, HTTPProvider, accounts_of, moment, redacted
from llmrouter.types import Allowance, Attempt, Endpoint, Failure, RequestRecord, Verdict

from . import login
from .config import PATHS, TEXT, OpenRouterSettings
from .errors import Refused, meaning, opened
from .listing import read_card
from .quota import next_day, read_allowance

MESSAGE = 2048
"""Characters that are kept of an error's words, with those of the vendor behind OpenRouter."""
HINTED = frozenset({"rate_limited", "quota_exhausted", "overloaded", "server_error"})
"""Failures whose end an answer may tell."""


class OpenRouterProvider(HTTPProvider):
    """OpenRouter, or what speaks as it does."""

    def __init__(self, config: OpenRouterSettings, context: BuildContext) -> None:
        self.config = config
        self._logger = context.logger
        self._warned = False
        super().__init__(config, context, base_url=config.address(), paths=PATHS, family=FAMILIES["plain"])

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        said = {"http-referer": self.config.referer, "x-title": self.config.title}
        return {**{name: value for name, value in said.items() if value}, **super().headers(account)}

    def judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Its own names for an error first, then the status; limits are stated with refusals only."""
        verdict = super().judge(status, headers, body)
        if verdict.failure is None or not body:
            return verdict
        error = opened(body)
        return replace(verdict, failure=self._failure(verdict.failure, error, headers))

    async def models(self, account: str) -> Sequence[Endpoint]:
        """All that is listed, with prices, windows and abilities."""
        said = await self.fetch("/models", account)
        listed = said.get("data") if isinstance(said, Mapping) else None
        known = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        return [self._listed(one) for one in known if isinstance(one.get("id"), str)]

    async def quota(self, account: str) -> Allowance:
        """What the key may still spend, and in `credits` what it was paid for."""
        own_keys = self.config.mode == "byok"
        key = await self.fetch("/key", account)
        credit = None if own_keys else await self._credit(account)
        return read_allowance(key, credit, own_keys, self.clock())

    async def login(self, show: Callable[[str], None], open_browser: bool, ask: login.Ask = login.typed) -> str:
        """A key that a person grants in a browser."""
        return await login.login(login.Site.of(self), show, open_browser, ask)

    def observe(self, record: RequestRecord) -> None:
        """Warn once where calls are paid otherwise than the configuration says; they are booked as they were."""
        for step in record.steps if not self._warned else ():
            if isinstance(step, Attempt) and step.endpoint.startswith(f"{self.config.name}/"):
                self._compare(step.usage.own_key)

    # ---- inside --------------------------------------------------------------------------------------

    def _compare(self, own_key: bool | None) -> None:
        if own_key is None or own_key == (self.config.mode == "byok") or self._warned:
            return
        self._warned = True
        paid = "a key of your own at the vendor" if own_key else "credits"
        said, name = self.config.mode, self.config.name
        self._logger.warning("%s: mode is %s, and a call was paid with %s: booked as it was", name, said, paid)

    async def _credit(self, account: str) -> Any:
        """None where this key may not look at the balance."""
        try:
            return await self.fetch("/credits", account)
        except LLMRouterError as error:
            self._logger.debug("the balance is not told: %s", error)
            return None

    def _failure(self, by_status: Failure, error: Refused, headers: Mapping[str, str]) -> Failure:
        found = meaning(by_status.status or 0, error)
        failure = by_status
        if found:
            kind, scope = found
            failure = replace(failure, kind=kind, scope=scope or SCOPES.get(kind, "endpoint"))
        if isinstance(raw := error.metadata.get("raw"), str) and raw:
            failure = replace(failure, message=redacted(f"{failure.message}: {raw}", self._secrets)[:MESSAGE])
        hint = self._hint(error) or self.hint(headers, error.message, self.clock())
        if hint is None and failure.kind == "quota_exhausted" and failure.status == 429:
            hint = next_day(self.clock())
        code = error.metadata.get("error_type") or error.availability.get("code") or failure.code
        return replace(failure, code=str(code), retry_at=hint if failure.kind in HINTED else None)

    def _hint(self, error: Refused) -> float | None:
        """When to come back, as the body says."""
        now = self.clock()
        for said in (error.availability.get("retry_after"), error.metadata.get("resets_at")):
            if isinstance(said, str | int | float) and (at := moment(str(said), now)):
                return at
        return None

    def _listed(self, one: Mapping[str, Any]) -> Endpoint:
        return Endpoint(
            provider=self.settings.name,
            model=one["id"],
            dialects=TEXT,
            accounts=accounts_of(self.settings),
            card=read_card(one),
            ops=frozenset({"chat"}),
        )

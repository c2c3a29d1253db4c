"""Carries calls to a server of the Messages API, as its profile says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from llmrouter.protocols import BuildContext, Reply
from llmrouter.provider import FAMILIES, AccountSettings, HTTPProvider, accounts_of
from llmrouter.types import Call, Card, Endpoint, Fields

from .bending import lengthened, rethought, without_sampling
from .config import AnthropicSettings
from .profile import DIALECT, Profile
from .transparent import Turned, is_itself

FIRST_VERSION = "2023-06-01"
"""Later versions of the API take no sampling."""
BETAS = "anthropic-beta"
PAGE = 1000  # models of one page of a list
MOST_PAGES = 20
_CAPABILITIES = {"image_input": "vision", "pdf_input": "files", "structured_outputs": "json_schema"}


class AnthropicProvider(HTTPProvider):
    """Anthropic, or whoever the profile describes."""

    def __init__(self, config: AnthropicSettings, context: BuildContext) -> None:
        self.profile: Profile = config.loaded()
        self.config = config
        query = self.profile.query
        super().__init__(
            config,
            context,
            base_url=config.address(),
            paths={DIALECT: f"/messages{query}", f"{DIALECT}/count": f"/messages/count_tokens{query}"},
            rules=self.profile.errors,
            family=FAMILIES[self.profile.limit_headers],
        )

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        own = {**self.profile.headers, **self.config.headers}
        if self.profile.transparent:
            own["user-agent"] = ""  # the client's own goes on
        else:
            own["anthropic-version"] = self.config.api_version
        key = account.api_key.reveal().strip() if account.api_key else ""
        if not key:
            return own
        bearer = (self.config.auth or self.profile.auth) == "bearer"
        return {**own, **({"authorization": f"Bearer {key}"} if bearer else {"x-api-key": key})}

    def passed(self, call: Call) -> Mapping[str, str]:
        if self.profile.transparent:
            return call.headers
        theirs = [call.headers[BETAS]] if self.profile.betas and BETAS in call.headers else []
        betas = ",".join([*self.config.betas, *theirs])
        return {BETAS: betas} if betas else {}

    def bend(self, call: Call) -> Fields:
        fields, model = call.fields, self.profile.model(call.endpoint.model)
        if model:
            fields = rethought(fields, model)
        if self.config.api_version != FIRST_VERSION or (model and not model.sampling):
            fields = without_sampling(fields)
        return lengthened(fields, call.endpoint.card.max_output) if call.op == "chat" else fields

    async def send(self, call: Call) -> Reply:  # type: ignore[override]  # a reply, though not always over HTTP
        if self.profile.transparent and not is_itself(call.headers):
            return Turned()
        return await super().send(call)

    async def models(self, account: str) -> Sequence[Endpoint]:
        """What the server lists for an account; nothing where it has no list."""
        path = self.profile.models_path
        if path is None:
            return []
        found: list[Endpoint] = []
        after = ""
        for _ in range(MOST_PAGES):
            said = await self.fetch(f"{path}?limit={PAGE}{after}", account)
            listed = said.get("data") if isinstance(said, Mapping) else None
            found += [self._listed(one) for one in listed or () if isinstance(one, Mapping) and one.get("id")]
            last = said.get("last_id") if isinstance(said, Mapping) and said.get("has_more") else None
            if not last or after == f"&after_id={last}":
                break
            after = f"&after_id={last}"
        return found

    def _listed(self, one: Mapping[str, Any]) -> Endpoint:
        """What the list says of a model is newer than what the profile knows."""
        model = str(one["id"])
        known = self.profile.card(model)
        return Endpoint(
            provider=self.settings.name,
            model=model,
            dialects=(DIALECT,),
            accounts=accounts_of(self.settings),
            card=evolve(
                known,
                window=_whole(one.get("max_input_tokens")) or known.window,
                max_output=_whole(one.get("max_tokens")) or known.max_output,
                abilities=_abilities(one, known),
            ),
            ops=self.profile.ops,
        )


def _abilities(one: Mapping[str, Any], known: Card) -> frozenset[str] | None:
    said = one.get("capabilities")
    if not isinstance(said, Mapping):
        return known.abilities
    has = {word for name, word in _CAPABILITIES.items() if _is_supported(said.get(name))}
    return frozenset({"tools", *has})


def _is_supported(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("supported") is True


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None

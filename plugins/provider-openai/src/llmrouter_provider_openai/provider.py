"""Carries calls to a provider of the family, as its profile says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter import BuildContext
from llmrouter.provider import FAMILIES, URL, AccountSettings, HTTPProvider, accounts_of, moment
from llmrouter.types import Call, Endpoint, Fields

from .bending import asking_for_reasoning, bent, counted, touched
from .config import OpenAISettings
from .listing import listed
from .profile import RESPONSES, Bend, Profile

UNBENT: tuple[Bend | None, frozenset[str] | None] = (None, None)
COUNT = f"{RESPONSES}/input_tokens"
"""The name of the path that counts, beside those of dialects."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class OpenAIProvider(HTTPProvider):
    """OpenAI, or whoever the profile describes."""

    def __init__(self, config: OpenAISettings, context: BuildContext) -> None:
        self.profile: Profile = config.loaded()
        self._more_headers = {**self.profile.headers, **config.headers}
        self._reasoning = {name for name, model in self.profile.models.items() if model.reasons}
        self._bends = {dialect: (bend, touched(bend)) for dialect, bend in self.profile.bends().items()}
        super().__init__(
            config,
            context,
            base_url=config.address(),
            paths=_paths(self.profile),
            rules=self.profile.errors,
            family=FAMILIES[self.profile.limit_headers],
        )

    def headers(self, account: AccountSettings) -> Mapping[str, str]:
        return {**self._more_headers, **super().headers(account)}

    def url(self, call: Call) -> URL:
        return self._urls[COUNT if call.op == "count" else call.wire.dialect]

    def bend(self, call: Call) -> Fields:
        bend, names = self._bends.get(call.wire.dialect, UNBENT)
        touches = bend and (names is None or not names.isdisjoint(call.fields))
        fields = bent(call.fields, bend, call.op) if bend and touches else call.fields
        if call.op == "count":
            return counted(fields)
        reasons = call.wire.dialect == RESPONSES and call.endpoint.model in self._reasoning
        return asking_for_reasoning(fields) if reasons else fields

    def hint(self, headers: Mapping[str, str], message: str, now: float) -> float | None:
        """Some write the end of a limit into their message, in the time of their own zone."""
        stamp = _STAMP.search(message) if self.profile.reset_zone else None
        at = moment(f"{stamp[0]}{self.profile.reset_zone}", now) if stamp else None
        return at if at and at > now else super().hint(headers, message, now)

    async def models(self, account: str) -> Sequence[Endpoint]:
        """What the provider lists for an account; nothing where it has no list."""
        if self.profile.models_path is None:
            return []
        said = await self.fetch(self.profile.models_path, account)
        data = said.get("data") if isinstance(said, Mapping) else said  # some send the bare list
        known = [one for one in data if isinstance(one, Mapping)] if isinstance(data, list) else []
        return [self._listed(one) for one in known if isinstance(one.get("id"), str)]

    def _listed(self, one: Mapping[str, Any]) -> Endpoint:
        model = one["id"]
        return Endpoint(
            provider=self.settings.name,
            model=model,
            dialects=self.profile.dialects_of(model),
            accounts=accounts_of(self.settings),
            card=listed(one, self.profile.card(model), self.profile.abilities),
        )


def _paths(profile: Profile) -> Mapping[str, str]:
    paths = {dialect: profile.path(dialect) for dialect in profile.dialects}
    return paths | {COUNT: f"{paths[RESPONSES]}/input_tokens"} if profile.counts else paths

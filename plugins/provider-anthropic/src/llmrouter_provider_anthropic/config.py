"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from attrs import field, frozen

from llmrouter.provider import ProviderSettings, accounts_of, base_url_of, card_of
from llmrouter.types import ANY_MODEL, Endpoint

from .profile import DIALECT, Auth, Profile, load, names, read


@frozen(kw_only=True)
class AnthropicSettings(ProviderSettings):
    """Raises ValueError for an unknown profile, and for an entry that lacks what its profile asks for."""

    profile: str = "anthropic"
    auth: Auth | None = None  # None: as the profile says
    api_version: str = "2023-06-01"
    betas: tuple[str, ...] = field(default=(), converter=tuple)
    headers: Mapping[str, str] = field(factory=dict, repr=False)  # may hold a credential

    def __attrs_post_init__(self) -> None:
        profile = self.loaded()
        address = self.base_url or profile.base_url
        if address is None:
            raise ValueError(f"the profile {self.profile!r} has no address of its own: set `base_url`")
        base_url_of(address)
        missing = [one.id for one in self.accounts if one.enabled and not one.api_key]
        if missing and self.enabled and not profile.keyless:
            raise ValueError(f"the profile {self.profile!r} needs a key: set `api_key` ({', '.join(missing)})")

    def loaded(self) -> Profile:
        """The profile, read anew: nothing is kept between configurations."""
        return load(self.profile)

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version."""
        return base_url_of(self.base_url or self.loaded().base_url or "")


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    text = resources.files(__package__).joinpath("schema.json").read_text("utf-8")
    fragment: Mapping[str, Any] = json.loads(text)
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the profile and of the configuration, and one endpoint for every other id."""
    assert isinstance(config, AnthropicSettings)
    profile, accounts = config.loaded(), accounts_of(config)
    if not accounts:
        return []
    return [
        Endpoint(
            provider=config.name,
            model=model,
            dialects=(DIALECT,),
            accounts=accounts,
            card=card_of(profile.card(model), config.models.get(model)),
            ops=profile.ops,
        )
        for model in dict.fromkeys([*profile.models, *config.models, ANY_MODEL])
    ]


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry for every profile whose key stands in the environment."""
    found = {}
    for name in names():
        profile = read(f"profiles/{name}.yaml")
        if key := next((one for one in profile.get("env", ()) if environ.get(one)), None):
            found[name] = {"plugin": "anthropic", "profile": name, "api_key": f"${{{key}}}"}
    return found

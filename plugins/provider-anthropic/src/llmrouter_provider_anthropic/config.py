"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmrouter.provider import ProviderSettings, base_url_of, endpoints_of, read_data, require_keys
from llmrouter.types import Endpoint

from .profile import DIALECT, Auth, Profile, load, names


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
        if not profile.keyless:
            require_keys(self, f"the profile {self.profile!r}")

    def loaded(self) -> Profile:
        """The profile, read anew: nothing is kept between configurations."""
        return load(self.profile)

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version."""
        return base_url_of(self.base_url or self.loaded().base_url or "")


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the profile and of the configuration, and one endpoint for every other id."""
    assert isinstance(config, AnthropicSettings)
    profile = config.loaded()
    return endpoints_of(
        config, profile.models, dialects=lambda model: (DIALECT,), card=profile.card, ops=profile.ops
    )


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry for every profile whose key stands in the environment."""
    found = {}
    for name in names():
        profile = read_data(__package__, f"profiles/{name}.yaml")
        if key := next((one for one in profile.get("env", ()) if environ.get(one)), None):
            found[name] = {"plugin": "anthropic", "profile": name, "api_key": f"${{{key}}}"}
    return found

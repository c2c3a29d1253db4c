"""What an entry of `providers` may say, and the endpoints that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from llmrouter.provider import ProviderSettings, base_url_of, endpoints_of, read_data, require_keys
from llmrouter.types import Endpoint, Op

from .profile import Profile, load, names

ALL_BUT_COUNT: frozenset[Op] = frozenset({"chat", "embed", "rerank"})


@frozen(kw_only=True)
class OpenAISettings(ProviderSettings):
    """Raises ValueError for an unknown profile, and for an entry that lacks what its profile asks for."""

    profile: str = "openai"
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
        """The profile; one from a file is read anew, for it may have changed between configurations."""
        return load(self.profile)

    def address(self) -> str:
        """Scheme, host and prefix of the upstream, with its version."""
        profile = self.loaded()
        return base_url_of(self.base_url or profile.base_url or "", profile.version)


def schema() -> Mapping[str, Any]:
    """The keys of an entry, as JSON Schema."""
    fragment: Mapping[str, Any] = read_data(__package__, "schema.json")
    return fragment


def endpoints(config: ProviderSettings) -> Sequence[Endpoint]:
    """The models of the profile and of the configuration, and one endpoint for every other id."""
    assert isinstance(config, OpenAISettings)
    profile = config.loaded()
    ops = None if profile.counts else ALL_BUT_COUNT
    return endpoints_of(config, profile.models, dialects=profile.dialects_of, card=profile.card, ops=ops)


def suggest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """An entry for every profile whose key stands in the environment, or whose address where it needs no key."""
    found = {}
    for name in names():
        profile = read_data(__package__, f"profiles/{name}.yaml")
        said = _said(environ, profile.get("env", ()), profile.get("base_url_env"), profile.get("keyless", False))
        if said:
            found[name] = {"plugin": "openai", "profile": name, **said}
    return found


def settings_of(name: str, profile: Profile) -> type[OpenAISettings]:
    """The settings of a plugin that has one profile and no other."""

    @frozen(kw_only=True)
    class Settings(OpenAISettings):
        profile: str = name

        def loaded(self) -> Profile:
            return profile

    return Settings


def suggestion_of(name: str, profile: Profile, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The same as `suggest`, of such a plugin."""
    said = _said(environ, profile.env, profile.base_url_env, profile.keyless)
    return {name: {"plugin": name, **said}} if said else {}


def _said(
    environ: Mapping[str, str], keys: Iterable[str], address: str | None, keyless: bool
) -> Mapping[str, str] | None:
    """What the environment says of an entry. A key alone does not say that a server runs here."""
    key = next((one for one in keys if environ.get(one)), None)
    address = address if address and environ.get(address) else None
    if not (address if keyless else key):
        return None
    said = {"api_key": key, "base_url": address}
    return {setting: f"${{{variable}}}" for setting, variable in said.items() if variable}

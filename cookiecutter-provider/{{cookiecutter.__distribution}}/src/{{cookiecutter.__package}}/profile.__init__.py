"""{{ cookiecutter.__title }}: a provider that speaks OpenAI's API, as its profile says."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from llmrouter import ProviderType, hookimpl
from llmrouter_provider_openai import provider_of


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    profile = resources.files(__package__).joinpath("profile.yaml").read_text("utf-8")
    return [provider_of("{{ cookiecutter.name }}", profile)]

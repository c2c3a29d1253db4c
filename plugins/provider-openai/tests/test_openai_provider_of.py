from __future__ import annotations

from types import MappingProxyType

import pytest
from llmrouter_provider_openai import provider_of

from llmrouter.provider import AccountSettings, Secret
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_openai import Chat

PROFILE = """
about: Acme's own models.
base_url: https://api.acme.example/v1
env: [ACME_API_KEY, ACME_TOKEN]
request: {rename: {max_completion_tokens: max_tokens}}
models:
  acme-large: {context_window: 200000, price: {input: 1.5, output: 6}}
"""
ACME = provider_of("acme", PROFILE)


class TestContract(HTTPProviderContract):
    descriptor = ACME
    speaker = Chat()
    model = "acme-large"
    entry = MappingProxyType({"headers": {"x-team": "blue"}})

    def test_the_profile_is_its_own(self) -> None:
        sent = self.sent(stream=False)
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["x-team"] == "blue"
        assert self.call(False).endpoint.card.window == 200_000


def test_no_entry_names_another_profile() -> None:
    assert set(ACME.schema["properties"]) == {"headers"}
    entry = ACME.config(name="up", plugin="acme", accounts=(AccountSettings(id="up", api_key=Secret("k" * 9)),))
    assert entry.address() == "https://api.acme.example/v1"


def test_a_key_in_the_environment_suggests_it() -> None:
    entry = {"plugin": "acme", "api_key": "${ACME_TOKEN}"}
    assert ACME.suggest({"ACME_TOKEN": "k"}) == {"acme": entry}
    assert ACME.suggest({"OPENAI_API_KEY": "k"}) == {}


def test_a_server_without_keys_is_suggested_by_its_address() -> None:
    here = provider_of("here", "about: A server of one's own.\nkeyless: true\nbase_url_env: HERE\nenv: [KEY]")
    assert here.suggest({"KEY": "k"}) == {}
    assert here.suggest({"HERE": "http://x"}) == {"here": {"plugin": "here", "base_url": "${HERE}"}}


@pytest.mark.parametrize(("text", "said"), [("about: x\nbase_ulr: y", "base_ulr"), ("a: [", "cannot be read")])
def test_a_mistake_in_a_profile_is_an_error_that_names_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"the profile acme.*{said}"):
        provider_of("acme", text)


def test_a_mistake_in_an_entry_names_the_provider() -> None:
    with pytest.raises(ValueError, match="the profile 'acme' needs a key: set `api_key`"):
        ACME.config(name="up", plugin="acme", accounts=(AccountSettings(id="up"),))

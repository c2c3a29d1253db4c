from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from llmrouter_provider_openai.config import OpenAISettings, endpoints, suggest
from llmrouter_provider_openai.profile import complaints, load, names

from llmrouter.provider import FAMILIES, AccountSettings, ModelSettings, Secret, base_url_of, read_data
from llmrouter.types import ANY_MODEL, Price

KEY = Secret("topsecret-0123456789")
README = Path(__file__).parents[1] / "README.md"
profiles = pytest.mark.parametrize("name", names())


def settings(profile: str = "openai", **how: Any) -> OpenAISettings:
    how.setdefault("accounts", (AccountSettings(id="up", api_key=KEY),))
    return OpenAISettings(name="up", plugin="openai", profile=profile, **how)


@profiles
def test_every_profile_fits_the_schema(name: str) -> None:
    assert complaints(read_data("llmrouter_provider_openai", f"profiles/{name}.yaml")) == []


def test_the_errors_of_the_family_fit_the_schema_too() -> None:
    assert (
        complaints({"about": "the family", "errors": read_data("llmrouter_provider_openai", "errors.yaml")}) == []
    )


def test_the_schema_is_a_schema_and_describes_every_key() -> None:
    schema = read_data("llmrouter_provider_openai", "profile.schema.json")
    Draft202012Validator.check_schema(schema)
    keys = {**schema["properties"], **schema["$defs"]["bend"]["properties"]}
    assert all(key.get("description") for key in keys.values())
    assert set(schema["properties"]["limit_headers"]["enum"]) <= set(FAMILIES)


@profiles
def test_every_profile_gives_endpoints(name: str) -> None:
    profile = load(name)
    config = settings(name, base_url=None if profile.base_url else "http://x.example")
    found = {one.model: one for one in endpoints(config)}
    assert list(found) == [*profile.models, ANY_MODEL]
    assert config.address() == base_url_of(config.address(), None), "an address in its one form"
    for model, known in profile.models.items():
        assert known.context_window
        assert known.price is not None, "a model without a known price does not belong into a profile"
        assert found[model].card.abilities is not None


@profiles
def test_every_profile_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README.read_text("utf-8")


def test_models_for_embeddings_speak_nothing_else_and_others_do_not_embed() -> None:
    found = {one.model: one.dialects for one in endpoints(settings())}
    assert found["text-embedding-3-small"] == ("openai.embeddings",)
    assert found["gpt-4o"] == ("openai.chat", "openai.responses")
    assert found[ANY_MODEL] == ("openai.chat", "openai.responses", "openai.completions", "openai.embeddings")


def test_what_the_configuration_says_of_a_model_is_added() -> None:
    free = Price(input=0, output=0)
    models = {"gpt-4o": ModelSettings(price=free), "mine": ModelSettings(context_window=10)}
    found = {one.model: one for one in endpoints(settings(models=models))}
    assert found["gpt-4o"].card.price == free
    assert found["gpt-4o"].card.window == 128_000
    assert found["mine"].card.window == 10
    assert "openai.embeddings" in found["mine"].dialects, "nobody knows what it is for"


@pytest.mark.parametrize("profile", ["ollama", "vllm", "custom", "litellm"])
def test_some_need_no_key(profile: str) -> None:
    config = settings(profile, base_url="http://x.example", accounts=(AccountSettings(id="up"),))
    assert [account.id for account in endpoints(config)[0].accounts] == ["up"]


def test_without_an_account_there_are_no_endpoints() -> None:
    assert list(endpoints(settings(accounts=(AccountSettings(id="a", api_key=KEY, enabled=False),)))) == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"profile": "mistrall"}, "Did you mean 'mistral'?"),
        ({"profile": "?"}, "There are: anannas, cerebras"),
        ({"profile": "custom"}, "set `base_url`"),
        ({"accounts": (AccountSettings(id="a"),)}, "needs a key: set `api_key`"),
        ({"base_url": "nowhere"}, "base_url must be an address"),
        ({"profile": "./not-there.yaml"}, "cannot be read"),
    ],
)
def test_a_mistake_in_an_entry_is_an_error(how: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        settings(**how)


def test_an_entry_that_is_switched_off_needs_no_key() -> None:
    assert settings(accounts=(AccountSettings(id="a"),), enabled=False).profile == "openai"


def test_no_setting_shows_a_secret() -> None:
    assert "hunter2" not in repr(settings(headers={"x-key": "hunter2"}))


# --- a profile of one's own


def test_a_profile_of_ones_own_is_a_file(tmp_path: Path) -> None:
    own = tmp_path / "acme.yaml"
    own.write_text("about: Acme.\nbase_url: https://acme.example\nerrors:\n- {code: [12, poor], class: payment}\n")
    config = settings(str(own))
    assert config.address() == "https://acme.example/v1"
    assert config.loaded().errors[0].code == {"12", "poor"}
    assert len(config.loaded().errors) > 10, "what the family knows follows"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about: x\nbase_ulr: http://x", "base_ulr"),
        ("about: x\nrequest: {drop: user}", "request.drop"),
        ("about: x\nerrors: [{class: payment}]", "errors.0"),
        ("about: x\nerrors: [{code: a, class: poverty}]", "errors.0.class"),
        ("[]", "it: "),
        ("a: [", "cannot be read"),
        ("about: x\nerrors: [{text: '(', class: payment}]", "the expression '('"),
    ],
)
def test_a_mistake_in_a_profile_is_an_error_that_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    own = tmp_path / "acme.yaml"
    own.write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        settings(str(own), base_url="http://x.example")


# --- the start without a configuration


def test_a_key_in_the_environment_suggests_an_entry() -> None:
    assert suggest({"OPENAI_API_KEY": "k", "ZHIPU_API_KEY": "k", "GROQ_API_KEY": ""}) == {
        "openai": {"plugin": "openai", "profile": "openai", "api_key": "${OPENAI_API_KEY}"},
        "zai": {"plugin": "openai", "profile": "zai", "api_key": "${ZHIPU_API_KEY}"},
    }


def test_a_server_of_ones_own_is_suggested_by_its_address_and_not_by_a_key() -> None:
    assert suggest({"LITELLM_API_KEY": "k", "OLLAMA_API_KEY": "k"}) == {}
    assert suggest({"LITELLM_BASE_URL": "http://x", "LITELLM_API_KEY": "k"}) == {
        "litellm": {
            "plugin": "openai",
            "profile": "litellm",
            "api_key": "${LITELLM_API_KEY}",
            "base_url": "${LITELLM_BASE_URL}",
        }
    }


@pytest.mark.parametrize(("name", "keeps"), [("deepseek", True), ("moonshot", True), ("zai", False)])
def test_every_model_of_a_vendor_that_wants_thoughts_back_keeps_them(name: str, keeps: bool) -> None:
    assert {"openai.chat" in one.card.keeps for one in endpoints(settings(name))} == {keeps}


def test_what_reasons_in_responses_wants_its_thoughts_back_there() -> None:
    reasoning = [one for one in endpoints(settings()) if one.card.keeps]
    assert {one.card.keeps for one in reasoning} == {frozenset({"openai.responses"})}
    assert {one.model for one in endpoints(settings()) if one.dialects == ("openai.responses",)} <= {
        one.model for one in reasoning
    }


def test_tokens_are_counted_where_the_profile_says_so() -> None:
    assert {one.ops for one in endpoints(settings())} == {None}
    assert all("count" not in (one.ops or ()) for one in endpoints(settings("xai")))
    assert all(one.ops for one in endpoints(settings("xai")))


def test_each_dialect_is_bent_by_itself() -> None:
    assert set(load("xai").bends()) == {"openai.chat", "openai.responses"}
    assert load("xai").bends()["openai.responses"].drop == {"metadata"}
    assert "openai.responses" not in load("deepseek").bends()

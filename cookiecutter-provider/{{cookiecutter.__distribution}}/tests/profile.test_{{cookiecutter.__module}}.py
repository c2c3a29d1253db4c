"""What every provider has to do is tried by inherited tests. Here stands what is {{ cookiecutter.__title }}'s own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream_openai import Chat
from llmrouter.types import Finish, Spent, Usage

from {{ cookiecutter.__package }} import llmrouter_register_providers

CASSETTES = Path(__file__).with_name("cassettes")


class Test{{ cookiecutter.__class }}(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Chat()
    model = "{{ cookiecutter.model }}"

    def asks(self, stream: bool) -> Mapping[str, Any]:
        return {**super().asks(stream), "max_completion_tokens": 300}

    def test_it_is_asked_as_it_wants_to_be(self) -> None:
        sent = self.sent(stream=False)
        assert sent.path == "/chat/completions"
        assert sent.headers["authorization"] == f"Bearer {self.key}"
        assert sent.json["max_tokens"] == 300

    def test_its_own_errors_are_understood(self) -> None:
        assert self.failure(400, {}, b'{"error": {"code": "out_of_credits"}}').kind == "payment"

    def test_its_key_is_found_in_the_environment(self) -> None:
        entry = {"plugin": "{{ cookiecutter.name }}", "api_key": "{{ cookiecutter.__key }}"}
        assert self.descriptor.suggest({"{{ cookiecutter.key_variable }}": "k"}) == {"{{ cookiecutter.name }}": entry}

    def test_what_it_answered_once_is_read(self) -> None:
        events = self.recorded(CASSETTES / "chat.yaml", "{{ cookiecutter.key_variable }}")
        assert Spent(Usage(input=9, output=16)) in events
        assert Finish("stop") in events

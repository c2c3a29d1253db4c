"""What every provider has to do is tried by inherited tests. Here stands what is {{ cookiecutter.__title }}'s own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import frozen
from llmrouter.dialects import join, loads
from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.speaker import Speaker
from llmrouter.testing.upstream import Received
from llmrouter.testing.upstream_scripts import DONE, event
from llmrouter.types import Conversation, Finish, Image, Message, Spent, Text, Usage

from {{ cookiecutter.__package }} import llmrouter_register_providers
from {{ cookiecutter.__package }}.dialect import NAME, {{ cookiecutter.__class }}Chat

CASSETTES = Path(__file__).with_name("cassettes")


@frozen
class {{ cookiecutter.__class }}(Speaker):
    """What {{ cookiecutter.__title }} says, in its own words."""

    dialect: ClassVar[str] = NAME

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "text": "Hello"}], "stream": stream}

    def whole(self, request: Received) -> dict[str, Any]:
        return {"id": "1", "model": request.json["model"], "text": self.text, "stop": "end"}

    def events(self, request: Received) -> Iterator[bytes]:
        for at in range(0, len(self.text), 8):
            yield event({"text": self.text[at : at + 8]})
        yield event({"stop": "end"})
        yield DONE

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return {"error": {"code": "scripted", "message": message}}


class Test{{ cookiecutter.__class }}(HTTPProviderContract):
    descriptor = next(iter(llmrouter_register_providers()))
    speaker = {{ cookiecutter.__class }}()
    model = "{{ cookiecutter.model }}"

    def test_it_is_asked_where_and_as_it_wants_to_be(self) -> None:
        sent = self.sent(stream=False)
        assert sent.path == "/generate"
        assert sent.headers["x-api-key"] == self.key

    @pytest.mark.parametrize(("code", "kind"), [("too_long", "context_length"), ("out_of_credits", "payment")])
    def test_its_own_errors_are_understood(self, code: str, kind: str) -> None:
        assert self.failure(400, {}, b'{"error": {"code": "%b"}}' % code.encode()).kind == kind

    def test_its_key_is_found_in_the_environment(self) -> None:
        entry = {"plugin": "{{ cookiecutter.name }}", "api_key": "{{ cookiecutter.__key }}"}
        assert self.descriptor.suggest({"{{ cookiecutter.key_variable }}": "k"}) == {"{{ cookiecutter.name }}": entry}

    def test_what_it_answered_once_is_read(self) -> None:
        events = self.recorded(CASSETTES / "chat.yaml", "{{ cookiecutter.key_variable }}")
        assert Spent(Usage(input=9, output=16)) in events
        assert Finish("stop") in events


def test_a_conversation_is_written_and_what_cannot_be_said_is_named() -> None:
    message = Message("user", (Text("What is "), Text("it?"), Image("data:image/png;base64,AA==")))
    said = Conversation(messages=(message,), options={"max_output": 9, "seed": 1})
    dialect = {{ cookiecutter.__class }}Chat()
    encoded = dialect.encode("chat", said)
    assert loads(join(dialect.aim(encoded.fields, "large", True))) == {
        "messages": [{"role": "user", "text": "What is it?"}],
        "max_tokens": 9,
        "model": "large",
        "stream": True,
    }
    assert encoded.dropped == ("messages.image", "seed")

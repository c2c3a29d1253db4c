from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest
from llmrouter_provider_openai import llmrouter_register_providers

from llmrouter.testing.provider_http import HTTPProviderContract
from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_openai import TEXT, Chat
from llmrouter.types import Text

KEY = "a-real-key-0123456789"


class Adapter(HTTPProviderContract):
    """Not collected: its methods are called below."""

    descriptor = next(iter(llmrouter_register_providers()))
    speaker = Chat()

    def __init__(self, profile: Path) -> None:
        self.entry = MappingProxyType({"profile": str(profile)})


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    monkeypatch.setenv("ACME_API_KEY", KEY)
    return Adapter(tmp_path / "acme.yaml")


def recorded(adapter: Adapter, folder: Path) -> str:
    events = adapter.recorded(folder / "chat.yaml", "ACME_API_KEY")
    return "".join([event.text for event in events if isinstance(event, Text)])


def test_an_adapter_records_its_vendor_and_replays_it_without(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Upstream(Chat().answer()) as upstream:
        (tmp_path / "acme.yaml").write_text(f"about: Acme.\nbase_url: {upstream.base_url}\n")
        monkeypatch.setenv("LLMROUTER_RECORD", "1")
        assert recorded(adapter, tmp_path) == TEXT
        assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in (tmp_path / "chat.yaml").read_text("utf-8")
        upstream.refuse()
        monkeypatch.undo()
        assert recorded(adapter, tmp_path) == TEXT


def test_a_cassette_stays_until_its_successor_is_whole(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chat.yaml").write_text("good")
    with Upstream(Chat().refuse(401)) as upstream:
        (tmp_path / "acme.yaml").write_text(f"about: Acme.\nbase_url: {upstream.base_url}\n")
        monkeypatch.setenv("LLMROUTER_RECORD", "1")
        with pytest.raises(AssertionError, match="it was refused: 401"):
            recorded(adapter, tmp_path)
    assert (tmp_path / "chat.yaml").read_text() == "good"
    assert {path.name for path in tmp_path.iterdir()} == {"chat.yaml", "acme.yaml"}

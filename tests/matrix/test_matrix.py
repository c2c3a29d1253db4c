"""Every official SDK in front of every upstream wire: what is asked arrives, what is answered is parsed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.testing.speaker import TEXT
from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_scripts import chosen
from tests.clients.upstreams import RESPONSES, UPSTREAMS
from tests.harness import Serving, serving

from .drivers import DRIVERS, PICTURE, Asking, Driver, Refused, opened
from .model import LIMITED, LONG, PERSON, TOO_LONG, mark, scripted

STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One provider for each wire, all of them the same scripted model."""
    folder = tmp_path_factory.mktemp("profiles")
    Path(folder, "responses.yaml").write_text(RESPONSES)
    with Upstream(chosen(scripted)) as upstream:
        entries = {
            name: {key: value.format(upstream.base_url, folder=folder) for key, value in entry.items()}
            for name, entry in UPSTREAMS.items()
        }
        known = {"api_key": "k", "models": {"m": {}}}
        config = {
            "providers": {name: {**entry, **known} for name, entry in entries.items()},
            "breaker": None,
            "engine": {"attempts": 1},
            "logging": {"level": "error"},
        }
        with serving(json.dumps(config)) as served:
            yield served


@pytest.fixture(scope="module")
def drivers(router: Serving) -> Iterator[dict[str, Driver]]:
    with opened(DRIVERS, router.base_url) as made:
        yield made


@pytest.fixture(params=DRIVERS)
def client(request: pytest.FixtureRequest, drivers: dict[str, Driver]) -> Driver:
    return drivers[request.param]


@pytest.fixture(params=UPSTREAMS)
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/m"


@STREAMS
def test_an_answer(client: Driver, model: str, stream: bool) -> None:
    said = client.ask(model, Asking(text="Hello", stream=stream))
    assert (said.text, said.calls, said.tokens) == (TEXT, [], (9, 16))
    assert said.finish == client.stops[0]
    assert said.pieces > 10 or not stream


@STREAMS
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_a_round_of_tools(client: Driver, model: str, stream: bool, both: bool) -> None:
    asking = Asking(text="both places" if both else "a place", stream=stream, tools=True)
    said = client.ask(model, asking)
    assert said.finish == client.stops[1]
    assert [(name, arguments) for _, name, arguments in said.calls] == [
        ("weather", {"place": place}) for place in ("Oslo", "Rome")[: 1 + both]
    ]
    assert len({id for id, _, _ in said.calls}) == 1 + both
    told = client.tell(model, asking, said, ["rain", "sun"][: 1 + both])
    assert all(word in told.text for word in ["rain", "sun"][: 1 + both])
    assert told.text.index("rain") <= told.text.find("sun") or not both
    assert told.finish == client.stops[0]


@STREAMS
def test_an_answer_by_a_schema(client: Driver, model: str, stream: bool) -> None:
    said = client.ask(model, Asking(text="Who was it?", stream=stream, schema=True))
    assert json.loads(said.text) == PERSON


@STREAMS
def test_a_picture(client: Driver, model: str, stream: bool) -> None:
    said = client.ask(model, Asking(text="What is this?", stream=stream, picture=True))
    assert said.text == f"saw {mark(PICTURE)}"


@STREAMS
def test_a_long_answer(client: Driver, model: str, stream: bool) -> None:
    said = client.ask(model, Asking(text=f"Tell it {TOO_LONG}.", stream=stream))
    assert said.text == LONG
    assert said.pieces > 1000 or not stream


@STREAMS
def test_a_refusal_is_the_sdks_own_exception(client: Driver, model: str, stream: bool) -> None:
    with pytest.raises(Refused) as caught:
        client.ask(model, Asking(text=f"That is {LIMITED}.", stream=stream))
    assert caught.value.status == 429
    assert caught.value.retry_after in ("6", "7")

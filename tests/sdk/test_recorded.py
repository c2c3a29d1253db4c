"""The official OpenAI SDK, unmodified, reads through the router what providers were recorded to say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from pydantic import ValidationError

from tests.harness import serving
from tests.recordings.comparing import changes
from tests.recordings.deviations import deviations
from tests.recordings.library import Exchange, exchanges, require
from tests.telling import Tell

from .picking import FEATURES, pick, sample
from .recorded import KEY, Got, Replays, replays
from .said import Body, choices, expected, reported, wants_usage
from .validating import strict

pytestmark = pytest.mark.recordings

LAX = frozenset(
    {"openai/vercel-ai--azure-model-router.1.stream.json#0"}  # its first chunk has an empty `object`
)
"""What does not fit the SDK's own types, and did not when it was recorded."""


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return exchanges()[0]


@pytest.fixture(scope="module")
def picked(library: list[Exchange]) -> dict[str, list[Exchange]]:
    return pick(library)


@pytest.fixture(scope="module")
def replayed(picked: dict[str, list[Exchange]]) -> Iterator[Replays]:
    every = {one.id: one for ones in picked.values() for one in ones}
    with replays(list(every.values())) as replayed:
        yield replayed


@pytest.mark.parametrize("feature", FEATURES)
def test_the_sdk_reads_what_was_recorded(
    replayed: Replays, picked: Mapping[str, Sequence[Exchange]], feature: str
) -> None:
    assert len(picked[feature]) >= 8
    wrong = [f"{one.id}: {problem}" for one in picked[feature] for problem in _problems(replayed, one, feature)]
    assert not wrong, "\n".join(wrong)


def test_the_sdk_collects_streams_into_what_was_recorded(
    replayed: Replays, picked: Mapping[str, Sequence[Exchange]]
) -> None:
    streams = {one.id: one for ones in picked.values() for one in ones if one.stream}
    chats = [one for one in streams.values() if one.endpoint == "chat.completions" and one.provider == "openai"]
    assert len(chats) >= 16
    wrong = [f"{one.id}: {problem}" for one in chats for problem in _collected(one, replayed.ask(one))]
    assert not wrong, "\n".join(wrong)


def test_the_asynchronous_client_reads_all_of_it_at_once(
    replayed: Replays, picked: Mapping[str, Sequence[Exchange]]
) -> None:
    every = list({one.id: one for ones in picked.values() for one in ones}.values())

    async def main() -> list[Got]:
        url = f"{replayed.router.base_url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            return await asyncio.gather(*[replayed.ask_async(client, one) for one in every])

    pairs = zip(every, asyncio.run(main()), strict=True)
    wrong = [f"{one.id}: {problem}" for one, got in pairs for problem in _differences(one, got)]
    assert not wrong, "\n".join(wrong)


def test_recorded_models_are_listed_and_found(library: Sequence[Exchange]) -> None:
    lists = sample([one for one in library if one.path.endswith("/models") and one.status == 200])
    ids = {one.provider: [model["id"] for model in json.loads(one.body)["data"]] for one in lists}
    assert len(ids) >= 5
    entry = {"plugin": "openai", "profile": "custom", "base_url": "http://127.0.0.1:9/v1", "api_key": KEY}
    config = {
        "providers": {name: {**entry, "models": {id: {} for id in found}} for name, found in ids.items()},
        "logging": {"level": "error"},
    }
    with (
        serving(json.dumps(config)) as router,
        openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=0) as client,
    ):
        listed = list(client.models.list())
        for model in listed:
            strict(model)
        names = [f"{provider}/{id}" for provider, found in ids.items() for id in found]
        assert {*names} <= {model.id for model in listed}
        for name in names[:: max(1, len(names) // 100)]:
            assert client.models.retrieve(name).id == name


def test_enough_is_replayed(picked: Mapping[str, Sequence[Exchange]], tell: Tell) -> None:
    every = {one.id: one for ones in picked.values() for one in ones}
    providers = {one.provider for one in every.values()}
    counts = ", ".join(f"{feature} {len(ones)}" for feature, ones in picked.items())
    tell(f"SDK: {len(every)} recordings of {len(providers)} providers through the router: {counts}")
    assert len(every) >= 200
    assert len(providers) >= 18


# --- one exchange


def _problems(replayed: Replays, exchange: Exchange, feature: str) -> list[str]:
    replayed.upstream.clear()
    got = replayed.ask(exchange)
    problems = [*_request(replayed, exchange), *_differences(exchange, got)]
    if not FEATURES[feature][1](exchange, got.bodies):
        problems.append(f"no {feature} in what the SDK got")
    if exchange.provider == "openai" and exchange.id not in LAX and exchange.endpoint != "completions":
        problems += _misfits(got)
    return problems


def _request(replayed: Replays, exchange: Exchange) -> Iterator[str]:
    """The upstream got what the SDK was told to say, but for what the router and the profile announce."""
    [received] = replayed.received(exchange)
    if received.headers["authorization"] != f"Bearer {KEY}":
        yield "not sent with the router's own key"
    own = {"encoding_format": "base64"} if exchange.endpoint == "embeddings" else {}  # the SDK's own wish
    changed = changes(_compact({**own, **exchange.asked}), _compact(received.json))
    rule = deviations(exchange.provider)
    for name, (before, after) in changed.items():
        if not rule.allows(name, exchange.stream, changed):
            yield f"request {name}: {(before or b'nothing')[:80]!r} became {(after or b'nothing')[:80]!r}"


def _compact(body: Body) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _differences(exchange: Exchange, got: Got) -> Iterator[str]:
    """What the SDK parsed and what was recorded are equal in every field, of every chunk."""
    before, after = expected(exchange), got.bodies
    if exchange.stream and not wants_usage(exchange):
        after = [{name: value for name, value in one.items() if (name, value) != ("usage", None)} for one in after]
    if len(before) != len(after):
        yield f"{len(before)} chunks became {len(after)}"
    for number, (first, second) in enumerate(zip(before, after, strict=False)):
        for name in sorted({*first, *second}):
            if first.get(name) != second.get(name):
                yield f"{number} {name}: {str(first.get(name))[:120]} became {str(second.get(name))[:120]}"


def _misfits(got: Got) -> Iterator[str]:
    try:
        for one in got.parsed:
            strict(one)
    except ValidationError as error:
        yield f"does not fit its type: {error}"


def _collected(exchange: Exchange, got: Got) -> Iterator[str]:
    state: Any = ChatCompletionStreamState()
    for chunk in got.parsed:
        state.handle_chunk(chunk)
    snapshot = state.current_completion_snapshot
    bodies = expected(exchange)
    for index, said in choices(bodies).items():
        found = next(choice for choice in snapshot.choices if choice.index == index)
        calls = [(call.function.name, call.function.arguments) for call in found.message.tool_calls or ()]
        was = (said.text, list(said.calls.values()), said.finish)
        now = (found.message.content or "", calls, found.finish_reason)
        if was != now:
            yield f"choice {index}: {was} became {now}"
    usage = reported(bodies)
    if usage and snapshot.usage.to_dict() != usage:
        yield f"usage {usage} became {snapshot.usage}"

"""A recording of either shape answers a request of the other, as the OpenAI SDK sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import openai
import pytest

from tests.recordings.library import Exchange, exchanges, require
from tests.telling import Tell

from .picking import CACHED_APART, ODD, sample
from .recorded import Got, Replays, replays
from .said import Body, choices, recorded, reported
from .validating import strict

pytestmark = pytest.mark.recordings

FINISH: Mapping[str | None, str] = {None: "stop", "": "stop", "eos": "stop"}
"""What vendors say instead of the word of the API; told in the API's own where the shape is another."""


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return exchanges()[0]


@pytest.fixture(scope="module")
def picked(library: list[Exchange]) -> list[Exchange]:
    fit = [one for one in library if one.id not in {*ODD, CACHED_APART} and _is_replayable(one)]
    kinds = [("chat.completions", True), ("chat.completions", False), ("completions", True), ("completions", False)]
    return [
        one
        for endpoint, stream in kinds
        for one in sample([one for one in fit if (one.endpoint, one.stream) == (endpoint, stream)])
    ]


@pytest.fixture
def replayed(picked: list[Exchange]) -> Iterator[Replays]:
    with replays(picked, cache={"plugin": "memory"}) as replayed:
        yield replayed


def test_the_other_shape_is_answered_from_a_recording(
    replayed: Replays, picked: list[Exchange], tell: Tell
) -> None:
    for one in picked:
        assert _ask(replayed, one).cache == "miss", one.id
    wrong = [f"{one.id}: {problem}" for one in picked for problem in _crossed(replayed, one)]
    assert not wrong, "\n".join(wrong)
    streams = sum(one.stream for one in picked)
    tell(f"SDK: {streams} recorded streams answered plain, {len(picked) - streams} plain ones streamed")
    assert streams >= 25
    assert len(picked) - streams >= 35


def test_the_same_shape_is_answered_as_before_under_a_fresh_id(replayed: Replays, picked: list[Exchange]) -> None:
    for one in picked:
        first, second = _ask(replayed, one), _ask(replayed, one)
        assert (first.cache, second.cache) == ("miss", "hit")
        assert len(replayed.received(one)) == 1
        assert [_without_id(body) for body in second.bodies] == [_without_id(body) for body in first.bodies], one.id
        asked_id = first.bodies[-1].get("id")
        assert not asked_id or second.bodies[0].get("id") != asked_id, one.id


def test_a_completion_answers_a_chat_that_asks_the_same(replayed: Replays, picked: list[Exchange]) -> None:
    prompts = [
        one
        for one in picked
        if one.endpoint == "completions" and one.provider == "openai" and isinstance(one.asked["prompt"], str)
    ]
    assert len(prompts) >= 4
    for one in prompts:
        said = _ask(replayed, one).bodies
        own = {name: value for name, value in one.asked.items() if name not in ("prompt", "model", "stream")}
        question: Any = [{"role": "user", "content": one.asked["prompt"]}]
        chat: Any = {**own, "temperature": 0, "messages": question, "model": replayed.names[one.id]}
        raw = replayed.client.chat.completions.with_raw_response.create(**chat)
        assert raw.headers["x-llmrouter-cache"] == "hit", one.id
        answer = raw.parse()
        strict(answer)
        assert answer.choices[0].message.content == choices(said)[0].text


# --- one exchange


def _is_replayable(one: Exchange) -> bool:
    """One answer in words alone, to a request that asked for no more."""
    if one.is_error or one.endpoint not in ("chat.completions", "completions"):
        return False
    asked, bodies = one.asked, recorded(one)
    more = ("tools", "functions", "logprobs", "top_logprobs", "modalities", "web_search_options", "suffix", "echo")
    if any(asked.get(name) for name in more) or (asked.get("n") or 1) > 1:
        return False
    if one.features & {"document", "audio_in"}:
        return False
    prompt = asked.get("prompt")
    if isinstance(prompt, list) and (len(prompt) > 1 or not isinstance(prompt[0], str)):
        return False
    found = choices(bodies)
    return list(found) == [0] and bool(found[0].text) and not _calls(bodies)


def _calls(bodies: Sequence[Body]) -> bool:
    said = [choice.get("message") or choice.get("delta") or {} for body in bodies for choice in body["choices"]]
    return any(one.get("tool_calls") or one.get("function_call") for one in said)


def _ask(replayed: Replays, one: Exchange, **more: Any) -> Got:
    kept = {"store": False} if one.asked.get("store") else {}
    return replayed.ask(one, temperature=0, **kept, **more)


def _crossed(replayed: Replays, one: Exchange) -> Iterator[str]:
    options: Any = openai.omit if one.stream else {"include_usage": True}
    got = _ask(replayed, one, stream=not one.stream, stream_options=options)
    if got.cache != "hit" or len(replayed.received(one)) != 1:
        yield f"a {got.cache}, with {len(replayed.received(one))} calls"
    before, after = recorded(one), got.bodies
    yield from _same_words(before, after)
    yield from _same_usage(before, after)
    if not {body["id"] for body in after}.isdisjoint(body.get("id") for body in before):
        yield "the id of the recording"
    if one.endpoint == "chat.completions":  # the SDK's type of a completion knows no chunk before the last
        for part in got.parsed:
            strict(part)
    if not one.stream and any(body.get("usage") for body in _ask(replayed, one, stream=True).bodies):
        yield "usage that was not asked for"


def _same_words(before: Sequence[Body], after: Sequence[Body]) -> Iterator[str]:
    first, second = choices(before)[0], choices(after)[0]
    first.finish = FINISH.get(first.finish, first.finish or "")
    if first != second or list(choices(after)) != [0]:
        yield f"{first} became {second}"


def _same_usage(before: Sequence[Body], after: Sequence[Body]) -> Iterator[str]:
    """Some vendors leave thoughts out of what they count; told anew they are in."""
    first, second = reported(before), reported(after)
    if bool(first) != bool(second):
        yield f"usage {first} became {second}"
    elif first.get("prompt_tokens") != second.get("prompt_tokens"):
        yield f"prompt_tokens {first.get('prompt_tokens')} became {second.get('prompt_tokens')}"
    elif first and second["completion_tokens"] not in _output(first):
        yield f"completion_tokens of {first} became {second['completion_tokens']}"


def _output(usage: Mapping[str, Any]) -> set[int]:
    stated = usage.get("completion_tokens", 0)
    return {stated, usage.get("total_tokens", 0) - usage["prompt_tokens"]}


def _without_id(body: Body) -> Body:
    """One vendor repeats the id under another name."""
    return {name: value for name, value in body.items() if name != "id" and value != body.get("id")}

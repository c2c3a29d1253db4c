"""Recorded errors of providers, as the exceptions that users of the OpenAI SDK catch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest

from tests.recordings.library import Exchange, exchanges, require
from tests.telling import Tell

from .recorded import KEY, Replays, replays
from .said import recorded

pytestmark = pytest.mark.recordings

RAISED: Mapping[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.InternalServerError,  # the router's own key was refused: no fault of the client's
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    501: openai.BadRequestError,
}
"""Status of the upstream → what is raised, where no other upstream is left."""
OTHERWISE: Mapping[bytes, type[openai.APIStatusError]] = {
    b"supported API model names": openai.NotFoundError,  # some say 400 to a model that is not theirs
    b"embedding-model does not exist": openai.NotFoundError,
    b"tool_use_failed": openai.InternalServerError,  # what the upstream's own model did
    b"Content management policy": openai.BadRequestError,  # inside a good status
}


@pytest.fixture(scope="module")
def errors() -> list[Exchange]:
    require()
    return [one for one in exchanges()[0] if one.is_error and one.endpoint != "models"]


@pytest.fixture(scope="module")
def replayed(errors: list[Exchange]) -> Iterator[Replays]:
    with replays(errors) as replayed:
        yield replayed


@pytest.fixture(scope="module")
def raised(replayed: Replays, errors: list[Exchange]) -> dict[str, openai.APIStatusError]:
    """The exceptions of whole refusals, by exchange."""
    found = {}
    for one in errors:
        if not _is_broken_stream(one):
            with pytest.raises(openai.APIStatusError) as caught:
                replayed.ask(one)
            found[one.id] = caught.value
    return found


def test_each_error_is_the_exception_of_its_kind(
    raised: Mapping[str, openai.APIStatusError], errors: list[Exchange], tell: Tell
) -> None:
    right = {one.id: _right(one) for one in errors if one.id in raised}
    wrong = [f"{id}: {raised[id]!r}" for id, kind in right.items() if type(raised[id]) is not kind]
    assert not wrong, "\n".join(wrong)
    counts = Counter(f"{one.status} → {raised[one.id].status_code}" for one in errors if one.id in raised)
    tell(f"SDK: {len(raised)} recorded errors as exceptions: {dict(sorted(counts.items()))}")
    assert {one.status for one in errors} == {200, *RAISED}


def test_each_error_has_all_that_the_sdk_shows(raised: Mapping[str, openai.APIStatusError]) -> None:
    for error in raised.values():
        body: Any = error.body
        assert {"message", "type", "param", "code"} <= {*body}
        assert isinstance(error.code, str)
        assert error.code
        assert error.type
        assert error.message
        assert error.request_id == error.response.headers["x-request-id"] == body["llmrouter"]["request_id"]
        assert KEY not in error.response.text


def test_what_the_client_can_mend_is_said_in_the_upstream_s_words(
    replayed: Replays, raised: Mapping[str, openai.APIStatusError], errors: list[Exchange]
) -> None:
    seen = 0
    for one in errors:
        if one.id not in raised or one.status not in (400, 404) or not replayed.received(one):
            continue
        seen += 1
        body: Any = raised[one.id].body
        assert " ".join(_message(one).split())[:100] in body["message"], one.id
        param = _error(one).get("param")
        assert param is None or raised[one.id].param == param, one.id
    assert seen >= 30


def test_a_refused_key_of_the_router_s_own_is_not_tried_again(replayed: Replays, errors: list[Exchange]) -> None:
    refused = [one for one in errors if one.status == 401 and one.endpoint == "chat.completions"]
    assert len(refused) >= 5
    with replays(refused) as anew:
        anew.client = anew.client.with_options(max_retries=2)
        for one in refused:
            with pytest.raises(openai.InternalServerError) as caught:
                anew.ask(one)
            assert caught.value.status_code == 502
            assert caught.value.code == "upstream_credentials_exhausted"
            assert len(anew.received(one)) == 1, one.id
            assert caught.value.request.headers["x-stainless-retry-count"] == "0"


def test_a_limit_says_when_to_come_back(
    raised: Mapping[str, openai.APIStatusError], errors: list[Exchange]
) -> None:
    limited = [raised[one.id] for one in errors if one.status == 429]
    assert len(limited) >= 4
    for error in limited:
        assert error.code == "rate_limit_exceeded"
        assert int(error.response.headers["retry-after"]) >= 1


def test_a_stream_that_breaks_raises_and_what_was_said_before_is_right(
    replayed: Replays, errors: list[Exchange]
) -> None:
    broken = [one for one in errors if _is_broken_stream(one)]
    assert len(broken) >= 2
    create: Any = replayed.client.chat.completions.create
    for one in broken:
        own = {name: value for name, value in one.asked.items() if name in ("messages", "tools", "tool_choice")}
        seen: list[Any] = []
        with pytest.raises(openai.APIError) as caught:  # at once, where the break came with the beginning
            _listen(create, {"model": replayed.names[one.id], **own}, seen)
        assert seen == recorded(one)[: len(seen)]
        assert _message(one) in caught.value.message


def _right(exchange: Exchange) -> type[openai.APIStatusError]:
    found = [kind for words, kind in OTHERWISE.items() if words in exchange.body]
    return found[0] if found else RAISED[exchange.status]


def _listen(create: Any, asked: dict[str, Any], seen: list[Any]) -> None:
    for chunk in create(**asked, stream=True, stream_options={"include_usage": True}):
        seen.append(chunk.to_dict(mode="json", warnings=False))


def _is_broken_stream(exchange: Exchange) -> bool:
    return exchange.stream and exchange.status == 200


def _error(exchange: Exchange) -> dict[str, Any]:
    """The error object of a body or of a chunk, in the forms that vendors give it."""
    bodies = recorded(exchange)
    said = next((body["error"] for body in bodies if body.get("error")), bodies[0])
    return said if isinstance(said, dict) else {"message": said}


def _message(exchange: Exchange) -> str:
    said = _error(exchange)
    message = said.get("message") or said.get("detail")
    return message if isinstance(message, str) else json.dumps(message)

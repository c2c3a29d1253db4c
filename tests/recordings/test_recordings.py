"""Recorded traffic of OpenAI-shaped providers, replayed through the adapter and through the whole server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest
from attrs import frozen

from llmrouter.errors import LLMRouterError
from llmrouter.testing.upstream import Received
from llmrouter.types import Fault, Finish, Spent, Text
from tests.calling import Answer
from tests.telling import Tell

from .comparing import changes, opened, same_body, same_stream, text_of, tokens_of, with_prompt_tokens
from .deviations import deviations
from .library import Exchange, exchanges, require
from .replaying import Carried, Stage, stage

pytestmark = pytest.mark.recordings

FAMILY = (
    "alibaba", "azure", "cerebras", "cloudflare", "crusoe", "deepseek", "gemini", "groq", "huggingface", "llamacpp",
    "mistral", "moonshot", "ollama", "openai", "openrouter", "perplexity", "snowflake", "together", "xai", "zai",
)  # fmt: skip
MOST_SKIPPED = 0.02
RIGHT: Mapping[int, tuple[int, ...]] = {
    400: (400, 404),  # some vendors say 400 to a model that is not theirs
    401: (502,),  # the router's own key was refused: no fault of the client's
    403: (403, 502),
    404: (404,),
    422: (400, 422),
    429: (429, 502),
    500: (502,),
    501: (400, 502),
}
"""Status of the upstream → what a client may see, where no other upstream is left."""
OF_THE_MODEL = (b"tool_use_failed",)
"""Codes by which an upstream says 400 to what its own model did."""


def skipped(exchange: Exchange) -> str:
    """Why an exchange cannot be replayed; "" for those that can."""
    alone = exchange.endpoint == "models" and not exchange.path.endswith("/models")
    return "one model alone, which no adapter asks for" if alone else ""


@frozen
class Outcome:
    exchange: Exchange
    problems: Sequence[str]


@pytest.fixture(scope="module")
def library() -> list[Exchange]:
    require()
    return [exchange for exchange in exchanges()[0] if not skipped(exchange)]


@pytest.fixture(scope="module")
def staged(library: list[Exchange]) -> Iterator[Stage]:
    with stage(library) as staged:
        yield staged


@pytest.fixture(scope="module")
def carried(library: list[Exchange], staged: Stage) -> list[Outcome]:
    return [Outcome(one, _carry(staged, one)) for one in library]


@pytest.fixture(scope="module")
def served(library: list[Exchange], staged: Stage) -> list[Outcome]:
    return [Outcome(one, _serve(staged, one)) for one in library if one.endpoint != "models"]


@pytest.mark.parametrize("provider", FAMILY)
def test_the_adapter_carries_what_was_recorded(carried: list[Outcome], provider: str) -> None:
    _no_problems(carried, provider)


@pytest.mark.parametrize("provider", FAMILY)
def test_the_whole_server_passes_on_what_was_recorded(served: list[Outcome], provider: str) -> None:
    _no_problems(served, provider)


def test_nearly_everything_is_replayed(carried: list[Outcome], served: list[Outcome], tell: Tell) -> None:
    found, left = exchanges()
    reasons = Counter(reason for one in found if (reason := skipped(one)))
    tell(
        f"recordings: {len(carried)} replayed through the adapter and {len(served)} through the server, of "
        f"{len(found)} in the manifest; skipped: {dict(reasons) or 'none'}; not of this family: {left}"
    )
    assert len(carried) == len(found) - reasons.total()
    assert reasons.total() <= MOST_SKIPPED * len(found)
    assert {one.provider for one in found} == set(FAMILY)


def _no_problems(outcomes: Sequence[Outcome], provider: str) -> None:
    ours = [one for one in outcomes if one.exchange.provider == provider]
    wrong = [f"{one.exchange.id}: {problem}" for one in ours for problem in one.problems]
    assert ours
    assert not wrong, f"{len(wrong)} problems in {len(ours)} exchanges:\n" + "\n".join(wrong[:20])


# --- the adapter


def _carry(staged: Stage, exchange: Exchange) -> list[str]:
    if exchange.endpoint == "models":
        return _models(staged, exchange)
    carried = staged.carry(exchange)
    problems = [] if carried.status == exchange.status else [f"status {carried.status}, recorded {exchange.status}"]
    problems += _request(exchange, exchange.request, carried.received)
    if exchange.status >= 400:
        return problems + ([] if carried.verdict.failure else ["the error is no failure"])
    problems += [f"a failure: {carried.verdict.failure}"] if carried.verdict.failure else []
    return problems + (_error_inside(carried) if exchange.is_error else _meaning(exchange, carried))


def _models(staged: Stage, exchange: Exchange) -> list[str]:
    if exchange.status >= 400:
        with pytest.raises(LLMRouterError):
            staged.models(exchange)
        return []
    listed = json.loads(exchange.body)
    listed = listed if isinstance(listed, list) else listed.get("data", [listed])
    found = {endpoint.model for endpoint in staged.models(exchange)}
    missing = {one["id"] for one in listed} - found
    return [f"{len(missing)} of {len(listed)} models are missing: {sorted(missing)[:5]}"] if missing else []


def _error_inside(carried: Carried) -> list[str]:
    return [] if any(isinstance(event, Fault) for event in carried.events) else ["the error inside is not seen"]


def _meaning(exchange: Exchange, carried: Carried) -> list[str]:
    events = carried.events
    problems = [f"a fault: {event.body[:100]!r}" for event in events if isinstance(event, Fault)]
    if not any(isinstance(event, Finish) for event in events):
        problems.append("no finish")
    if exchange.endpoint != "embeddings":
        problems += _says_the_same(exchange, carried)
    raw = b"".join(frame.raw for frame in carried.frames)
    same = same_stream(exchange.body, raw, True) if exchange.stream else same_body(exchange.body, raw)
    return problems + [f"frames: {problem}" for problem in same]


def _says_the_same(exchange: Exchange, carried: Carried) -> list[str]:
    expected = text_of(exchange.body, exchange.stream)
    said = "".join(event.text for event in carried.events if isinstance(event, Text))
    problems = [] if said == expected else [f"text {said[:60]!r}, recorded {expected[:60]!r}"]
    usages = [event.usage for event in carried.events if isinstance(event, Spent)]
    tokens = tokens_of(exchange.body, exchange.stream)
    if tokens and not usages:
        problems.append(f"{tokens} completion tokens are not seen")
    if tokens and usages and usages[-1].output + usages[-1].reasoning not in tokens:
        problems.append(f"{usages[-1].output}+{usages[-1].reasoning} tokens, recorded {tokens}")
    return problems


# --- the whole server


def _serve(staged: Stage, exchange: Exchange) -> list[str]:
    got, sent, received = staged.serve(exchange)
    if received is None:
        if exchange.status == got.status == 400:  # refused at the door for what the upstream refused it for
            return _is_refusal(exchange, got)
        return [f"never sent: {got.status} {got.body[:200]!r}"]
    problems = _request(exchange, sent, received)
    if exchange.status >= 400 or (exchange.is_error and not exchange.stream):
        return problems + _is_refusal(exchange, got)
    if exchange.is_error:
        return problems + _ends_in_error(got)
    return problems + _answer(exchange, got)


def _answer(exchange: Exchange, got: Answer) -> list[str]:
    if got.status != 200 or got.broken:
        return [f"status {got.status}: {got.body[:300]!r} {got.broken or ''}"]
    problems = [
        f"header {name}: {value!r} became {got.headers.get(name)!r}"
        for name, value in exchange.headers.items()
        if name.startswith("x-ratelimit-") and got.headers.get(name) != value
    ]
    if not exchange.stream:
        recorded = with_prompt_tokens(exchange.body) if exchange.endpoint == "embeddings" else exchange.body
        return problems + same_body(recorded, got.body)
    options = exchange.asked.get("stream_options") or {}
    problems += same_stream(exchange.body, got.body, bool(options.get("include_usage")))
    return problems + ([] if got.data[-1:] == ["[DONE]"] else ["no end mark"])


def _is_refusal(exchange: Exchange, got: Answer) -> list[str]:
    right = RIGHT[exchange.status] if exchange.status >= 400 else range(400, 600)
    if any(code in exchange.body for code in OF_THE_MODEL):
        right = (502,)
    problems = [] if got.status in right else [f"status {got.status} for an upstream's {exchange.status}"]
    envelope = got.json.get("error") or {}
    missing = {"message", "type", "param", "code"} - set(envelope)
    return problems + ([f"no OpenAI envelope: {got.body[:200]!r}"] if missing or not envelope["message"] else [])


def _ends_in_error(got: Answer) -> list[str]:
    if got.status >= 400:
        return [] if got.error.get("message") else [f"no envelope: {got.body[:200]!r}"]
    ended = bool(got.events) and "error" in got.events[-1] and "[DONE]" not in got.data
    return [] if ended else [f"the error inside was not told: {got.body[-300:]!r}"]


def _request(exchange: Exchange, sent: bytes, received: Received) -> list[str]:
    """The upstream got what the client sent, but for model, credentials and what its profile says."""
    problems = []
    if "the-router's-own-key" not in received.headers.get("authorization", ""):
        problems.append("sent without the router's own key")
    if not exchange.path.endswith(received.path.removeprefix("/v1")):
        problems.append(f"sent to {received.path}, recorded {exchange.path}")
    if opened(received.body)["model"] != opened(exchange.request)["model"]:
        problems.append(f"model {opened(received.body)['model']!r}")
    changed = changes(sent, received.body)
    rule = deviations(exchange.provider)
    for name, (before, after) in changed.items():
        if name != "model" and not rule.allows(name, exchange.stream, changed):
            problems.append(
                f"request {name}: {(before or b'nothing')[:80]!r} became {(after or b'nothing')[:80]!r}"
            )
    return problems

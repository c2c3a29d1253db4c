"""Which recordings are replayed to the SDK: some of every provider for every feature."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from tests.recordings.library import Exchange

from .said import Body, Said, choices, recorded, reported, wants_usage

OF_OPENAI, OF_OTHERS = 8, 2
"""Recordings of each feature: of OpenAI itself, and of everybody else."""
ODD: Mapping[str, str] = {
    "openai/llm--test_tools_streaming__test_tools_streaming_variant_c.json#0": "its first event is indented",
    "perplexity/ruby_llm--embedding_perplexity_int8_embeddings_perplexity_pplx-embed-v1-0_6b_decodes_a_single_text_"
    "into_int8_vectors.json#0": "its vectors are bytes, which the SDK takes for floats",
}
"""What no client of OpenAI's wire can read."""
CACHED_APART = (
    "anthropic/ruby_llm--chat_change_model_on_the_fly_between_anthropic_claude-haiku-4-5_and_azure_"
    "grok-4-1-fast-non-reasoning.json#1"
)
"""Its prompt tokens leave out those that the cache gave."""

Shows = Callable[[Exchange, Sequence[Body]], bool]


def _flagged(flag: str, shows: Callable[[Said], object]) -> Shows:
    """Recordings that the manifest flags, and one of whose choices shows it."""
    return lambda one, bodies: flag in one.features and any(shows(said) for said in choices(bodies).values())


def _shape(stream: bool) -> Shows:
    def shows(one: Exchange, bodies: Sequence[Body]) -> bool:
        found = choices(bodies)
        return one.stream is stream and list(found) == [0] and bool(found[0].text) and not found[0].calls

    return shows


def _is_json(text: str) -> bool:
    with suppress(ValueError):
        return isinstance(json.loads(text), dict | list)
    return False


def _coded(base64: bool) -> Shows:
    return lambda one, bodies: (one.asked.get("encoding_format") == "base64") is base64


CHAT: Mapping[str, Shows] = {
    "plain": _shape(False),
    "stream": _shape(True),
    "stream with usage": lambda one, bodies: one.stream and wants_usage(one) and bool(reported(bodies)),
    "tools": _flagged("tool_call", lambda said: any(_is_json(arguments) for _, arguments in said.calls.values())),
    "parallel tools": _flagged("parallel_tools", lambda said: len(said.calls) > 1),
    "schema": _flagged("json_schema", lambda said: _is_json(said.text)),
    "vision": _flagged("vision", lambda said: said.text),
    "reasoning": _flagged("reasoning", lambda said: said.thoughts),
    "logprobs": _flagged("logprobs", lambda said: said.logprobs),
    "n": lambda one, bodies: "n>1" in one.features and len(choices(bodies)) > 1,
}
OTHERS: Mapping[str, tuple[str, Shows]] = {
    "completions": ("completions", lambda one, bodies: True),
    "embeddings in base64": ("embeddings", _coded(True)),
    "embeddings in floats": ("embeddings", _coded(False)),
}
FEATURES: Mapping[str, tuple[str, Shows]] = {
    **{name: ("chat.completions", shows) for name, shows in CHAT.items()},
    **OTHERS,
}
"""Feature → its endpoint, and whether an answer shows it."""


def pick(found: Iterable[Exchange]) -> dict[str, list[Exchange]]:
    """The same recordings in every run: feature → exchanges, OpenAI's first."""
    good = [one for one in found if one.endpoint != "models" and not one.is_error and one.id not in ODD]
    bodies = {one.id: recorded(one) for one in good}
    return {
        feature: sample([one for one in good if one.endpoint == endpoint and shows(one, bodies[one.id])])
        for feature, (endpoint, shows) in FEATURES.items()
    }


def sample(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """A few of every provider."""
    by_provider: dict[str, list[Exchange]] = defaultdict(list)
    for one in exchanges:
        by_provider[one.provider].append(one)
    draw = random.Random(0)
    picked = []
    for provider in sorted(by_provider, key=lambda name: (name != "openai", name)):
        theirs, most = by_provider[provider], OF_OPENAI if provider == "openai" else OF_OTHERS
        picked += draw.sample(theirs, min(most, len(theirs)))
    return picked

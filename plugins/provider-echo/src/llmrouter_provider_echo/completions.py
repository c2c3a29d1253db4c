"""Answers in the form of OpenAI's plain completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from attrs import frozen

from . import speech, tokens
from .chat import logprob
from .composing import cut
from .refusals import Refused
from .requests import CompletionBody
from .wire import Answer, Event, Limits, Stamp, check_stream, usage

DEFAULT_TOKENS = 16
"""What OpenAI's reference says of an absent `max_tokens`."""
MOST_CHOICES = 128


@frozen
class _Completion:
    text: str
    written: int  # tokens of it that are new
    finish: str


def answer(body: CompletionBody, stamp: Stamp, limits: Limits) -> Answer:
    """Raises Refused for a body that an upstream does not take."""
    check_stream(body)
    texts = prompts(body.prompt)
    if len(texts) * (body.n or 1) > MOST_CHOICES:
        raise Refused(400, f"At most {MOST_CHOICES} answers are written at once.", param="prompt")
    most = limits.room(max(map(tokens.count, texts)), body.max_tokens or DEFAULT_TOKENS)
    made = [_completion(body, text, variant, most) for text in texts for variant in range(body.n or 1)]
    spent = usage(sum(map(tokens.count, texts)), sum(one.written for one in made))
    if body.stream:
        return Answer(events=_events(body, stamp, made, spent), tokens=spent["completion_tokens"])
    choices = [_choice(body, number, one.text, one.finish) for number, one in enumerate(made)]
    whole = {**stamp.head("cmpl", "text_completion"), "choices": choices, "usage": spent}
    return Answer(whole=whole, tokens=max(one.written for one in made))


def prompts(given: str | Sequence[str | int | list[int]]) -> Sequence[str]:
    """Each prompt as text; token ids are read as their numbers. Raises Refused (400) for none."""
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(one, int) for one in given):
        return [_ids(given)]
    if not given or any(isinstance(one, int) or one == [] for one in given):
        raise Refused(400, "The input must be text, token ids, or a list of either.", param="input")
    return [one if isinstance(one, str) else _ids(one) for one in given]  # type: ignore[arg-type]


def _ids(ids: Sequence[Any]) -> str:
    return " ".join(f"{one:>3}" for one in ids)


def _completion(body: CompletionBody, prompt: str, variant: int, most: int | None) -> _Completion:
    said, finish = cut(speech.answer(speech.Prompt(text=prompt), (body.seed or 0) + variant), body.stops, most)
    return _Completion(prompt + said if body.echo else said, tokens.count(said), finish)


def _choice(body: CompletionBody, number: int, text: str, finish: str | None, start: int = 0) -> Mapping[str, Any]:
    return {"text": text, "index": number, "logprobs": _logprobs(body, text, start), "finish_reason": finish}


def _events(
    body: CompletionBody, stamp: Stamp, made: Sequence[_Completion], spent: Mapping[str, int]
) -> Iterator[Event]:
    head = stamp.head("cmpl", "text_completion")
    tail = {"usage": None} if body.wants_usage else {}
    for place, turn in enumerate(zip_longest(*(tokens.split(one.text) for one in made))):
        for number, token in enumerate(turn):
            if token is not None:
                choice = _choice(body, number, token, None, place * tokens.SIZE)
                yield Event({**head, "choices": [choice], **tail}, True)
    for number, one in enumerate(made):
        yield Event({**head, "choices": [_choice(body, number, "", one.finish, len(one.text))], **tail})
    if body.wants_usage:
        yield Event({**head, "choices": [], "usage": spent})


def _logprobs(body: CompletionBody, text: str, start: int) -> Mapping[str, Any] | None:
    if body.logprobs is None:
        return None
    written = tokens.split(text)
    return {
        "tokens": written,
        "token_logprobs": [logprob(token) for token in written],
        "top_logprobs": [{token: logprob(token)} for token in written] if body.logprobs else None,
        "text_offset": [start + place * tokens.SIZE for place in range(len(written))],
    }

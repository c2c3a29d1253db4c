"""What an answer says, read from its JSON without any of the router's code."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from tests.recordings.comparing import blocks, data_of, with_prompt_tokens
from tests.recordings.library import Exchange

Body = dict[str, Any]


@define
class Said:
    """One choice, whole or collected from its chunks."""

    text: str = ""
    thoughts: str = ""
    refusal: str = ""
    calls: dict[Any, tuple[str, str]] = field(factory=dict)  # index → name, arguments
    finish: str | None = None
    logprobs: int = 0  # tokens that have some

    def add(self, choice: Mapping[str, Any]) -> None:
        said = choice.get("delta") or choice.get("message") or {}
        self.text += _parts(said.get("content"), "text") or choice.get("text") or ""
        thoughts = said.get("reasoning_content") or said.get("reasoning")
        self.thoughts += thoughts or _parts(said.get("content"), "thinking")
        self.refusal += said.get("refusal") or ""
        for number, call in enumerate(said.get("tool_calls") or ()):
            self._call(call.get("index", number), call.get("function") or {})
        self.finish = choice.get("finish_reason") or self.finish
        probable = choice.get("logprobs") or {}
        self.logprobs += len(probable.get("content") or probable.get("tokens") or ())

    def _call(self, index: Any, function: Mapping[str, Any]) -> None:
        name, arguments = self.calls.get(index, ("", ""))
        self.calls[index] = name + (function.get("name") or ""), arguments + (function.get("arguments") or "")


def choices(bodies: Iterable[Body]) -> dict[int, Said]:
    """All choices of an answer by their index."""
    found: dict[int, Said] = {}
    for body in bodies:
        for choice in body.get("choices") or ():
            found.setdefault(choice.get("index") or 0, Said()).add(choice)
    return found


def reported(bodies: Sequence[Body]) -> Body:
    """The last report of usage; empty where there is none. One vendor has a place of its own for it."""
    reports = [body.get("usage") or (body.get("x_groq") or {}).get("usage") for body in bodies]
    return next((report for report in reversed(reports) if report), {})


def recorded(exchange: Exchange) -> list[Body]:
    """The recorded body, or the chunks, with vectors as floats."""
    if exchange.stream and exchange.status == 200:
        return [json.loads(data_of(block.split(b"\n"))) for block in blocks(exchange.body)]
    good = exchange.endpoint == "embeddings" and exchange.status < 400
    body: Body = json.loads(with_prompt_tokens(exchange.body) if good else exchange.body)
    return [_decoded(body) if good else body]


def expected(exchange: Exchange) -> list[Body]:
    """What is recorded, without the usage of a stream whose client did not ask for it."""
    bodies = recorded(exchange)
    if not exchange.stream or wants_usage(exchange):
        return bodies
    return [_unmarked(body) for body in bodies if body.get("choices") or not body.get("usage")]


def wants_usage(exchange: Exchange) -> bool:
    return (exchange.asked.get("stream_options") or {}).get("include_usage") is True


def _unmarked(chunk: Body) -> Body:
    """Without the mark that usage will follow."""
    return {name: value for name, value in chunk.items() if (name, value) != ("usage", None)}


def _decoded(body: Body) -> Body:
    return {**body, "data": [{**one, "embedding": _floats(one["embedding"])} for one in body["data"]]}


def _floats(vector: Any) -> list[float]:
    if not isinstance(vector, str):
        return list(vector)
    return [value for (value,) in struct.iter_unpack("<f", base64.b64decode(vector))]


def _parts(content: Any, kind: str) -> str:
    """One vendor writes a list of parts, some of which are lists themselves."""
    if isinstance(content, list):
        found = [part.get(kind) for part in content if isinstance(part, dict)]
        return "".join([_parts(one, "text") if isinstance(one, list) else one or "" for one in found])
    return content if isinstance(content, str) and kind == "text" else ""

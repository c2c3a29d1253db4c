"""Recorded requests and answers with faults in them: understood or refused, never more than that."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from attrs import evolve, frozen

from llmrouter.dialects import builtin
from llmrouter.dialects.common import parse, raw
from llmrouter.dialects.translating import translated
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect
from llmrouter.server.door import Route, request_of
from llmrouter.types import Facts, Fields, Frame, Request, Wire
from tests.calling import Answer
from tests.telling import Tell

from .families import ANTHROPIC, GEMINI, OPENAI, RERANK, RESPONSES, Family, Surface
from .library import Exchange, exchanges, require
from .mutating import mutated_body, mutated_stream
from .replaying import Stage, stage

pytestmark = pytest.mark.recordings

FAMILIES = (OPENAI, RESPONSES, ANTHROPIC, GEMINI, RERANK)
REQUESTS, ANSWERS = 10_000, 12_000
"""Mutations of each kind, spread evenly over all that was recorded."""
WHOLE = 400
"""Mutations of answers that go through the whole server, spread over the families."""
DIALECTS = {one.name: one for one in builtin()}
CHATTING = [one for one in builtin() if "chat" in one.ops and one.name != "openai.completions"]


@frozen
class Recorded:
    exchange: Exchange
    surface: Surface

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.surface.dialect]


@pytest.fixture(scope="module")
def library() -> list[Recorded]:
    require()
    return [
        Recorded(one, family.surfaces[one.endpoint])
        for family in FAMILIES
        for one in exchanges(family)[0]
        if one.endpoint in family.surfaces
    ]


def spread(library: Sequence[Recorded], count: int) -> Iterator[tuple[Recorded, random.Random]]:
    for number in range(count):
        yield library[number * len(library) // count], random.Random(number)


# --- requests


def test_a_wrong_request_is_understood_or_refused(library: list[Recorded], tell: Tell) -> None:
    asked = [one for one in library if one.exchange.request.startswith(b"{")]
    outcomes = Counter(_request(*one) for one in spread(asked, REQUESTS))
    tell(f"mutations of requests: {dict(outcomes)}")
    assert {*outcomes} == {"understood", "refused"}
    assert outcomes.total() == REQUESTS
    assert min(outcomes["understood"], outcomes["refused"]) > REQUESTS / 20, "faults that are felt, and not always"


def _request(recorded: Recorded, draw: random.Random) -> str:
    """Opened, looked at, said in every other dialect: only an `InvalidRequest` may come of it."""
    dialect, op = recorded.dialect, recorded.surface.op
    body = mutated_body(recorded.exchange.request, draw)
    try:
        fields = parse(body)
        if "{model}" in recorded.surface.path:
            fields |= {"model": raw("m"), "stream": raw(recorded.exchange.stream)}
        request = request_of(Route(dialect, op), fields, {}, "dev", "req_1", 0.0)
        facts = request.facts
        dialect.writer(request)
        dialect.aim(fields, "other", facts.wire.stream)
        for other in CHATTING if op == "chat" else ():
            other.aim(translated(dialect, other, op, fields).fields, "other", facts.wire.stream)
    except InvalidRequest as error:
        return "refused" if 400 <= error.status < 500 and str(error) else "refused without a reason"
    return "understood"


# --- answers


def test_a_wrong_answer_is_read_and_written_in_every_dialect(library: list[Recorded], tell: Tell) -> None:
    answered = [one for one in library if one.exchange.status == 200 and one.exchange.body.strip()]
    frames = sum(_answer(*one) for one in spread(answered, ANSWERS))
    tell(f"mutations of answers: {ANSWERS}, read as {frames} frames")
    assert frames > ANSWERS


def _answer(recorded: Recorded, draw: random.Random) -> int:
    """Read, and written for a client of every dialect, plain or streamed: nothing is raised."""
    exchange, op = recorded.exchange, recorded.surface.op
    body = _mutated(exchange, draw)
    reader = recorded.dialect.reader(op, exchange.stream)
    frames = [*reader.feed(body), *reader.end()]
    for client in CHATTING if op == "chat" else [recorded.dialect]:
        _written(client, frames, recorded, draw.random() < 0.5)
    return len(frames)


def _written(client: Dialect, frames: Sequence[Frame], recorded: Recorded, stream: bool) -> None:
    own = client is recorded.dialect
    wire = Wire(client.name, stream if not own else recorded.exchange.stream)
    fields: Fields = {"model": raw("m"), "stream": raw(wire.stream)}
    writer = client.writer(Request(Facts(id="req_1", wire=wire, asked="m", op=recorded.surface.op), fields))
    written = b"".join([writer.write(frame, own and frame.wire == wire) for frame in frames])
    written += writer.end()
    if not own and not wire.stream:
        msgspec.json.decode(written)


def _mutated(exchange: Exchange, draw: random.Random) -> bytes:
    if exchange.stream and not exchange.body.lstrip().startswith((b"{", b"[")):
        return mutated_stream(exchange.body, draw)
    try:
        return mutated_body(exchange.body, draw)
    except ValueError:
        return exchange.body[: draw.randrange(len(exchange.body))]


# --- the whole server


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_a_wrong_answer_is_no_fault_of_the_routers(library: list[Recorded], family: Family) -> None:
    """Good, or an upstream's failure told as one: never a status that says that the router itself broke."""
    ours = [one for one in library if family.surfaces.get(one.exchange.endpoint) is one.surface]
    answered = [one for one in ours if one.exchange.status == 200 and one.exchange.body.strip()]
    chosen = list(spread(answered, WHOLE // len(FAMILIES)))
    with stage(list({one.exchange.id: one.exchange for one, _ in chosen}.values()), family) as staged:
        wrong = [problem for one, draw in chosen if (problem := _served(staged, one.exchange, draw))]
    assert not wrong


def _served(staged: Stage, exchange: Exchange, draw: random.Random) -> str:
    got = staged.serve(evolve(exchange, body=_mutated(exchange, draw)))[0]
    said = b'"class":"internal"' in got.body or b"internal_error" in got.body
    return f"{exchange.id}: {got.status} {got.body[:200]!r}" if _broke(got) or said else ""


def _broke(got: Answer) -> bool:
    return got.status == 500 or (got.status not in (200, 400, 404, 429, 502, 503, 504) and got.status >= 400)


def test_the_mutations_are_many_and_the_same_every_time() -> None:
    body = json.dumps({"a": [1, {"b": "c"}], "d": None}).encode()
    found = {mutated_body(body, random.Random(number)) for number in range(200)}
    assert len(found) > 60
    assert mutated_body(body, random.Random(7)) == mutated_body(body, random.Random(7))
    stream = b'data: {"a": 1}\n\nevent: x\ndata: {"b": 2}\n\ndata: [DONE]\n\n'
    assert len({mutated_stream(stream, random.Random(number)) for number in range(200)}) > 60

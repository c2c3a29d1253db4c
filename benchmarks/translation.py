"""`python -m benchmarks.translation`: what it costs to say a request, and a chunk, in another dialect.

In one process, without a socket: a conversation of ten messages is decoded from one dialect and encoded for
another; a chunk of a stream is read from the one and written for the other. Figures are CPU time, the median of
several rounds; the promise is less than 300 µs a request and 20 µs a chunk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from attrs import asdict, frozen

from llmrouter.dialects import builtin
from llmrouter.dialects.common import raw
from llmrouter.protocols import Dialect
from llmrouter.types import (
    Begin,
    Conversation,
    Event,
    Facts,
    Fields,
    Finish,
    Frame,
    Message,
    Request,
    Spent,
    Text,
    ToolCall,
    ToolOutput,
    Usage,
    Wire,
)

REQUEST_US, CHUNK_US = 300.0, 20.0
CHUNKS = 200
SENTENCE = "The quick brown fox jumps over the lazy dog while the router looks for the best way to answer. "


@frozen
class Pair:
    """One client in front of one upstream: µs of CPU."""

    client: str
    upstream: str
    request_us: float
    chunk_us: float

    @property
    def kept(self) -> bool:
        return self.request_us < REQUEST_US and self.chunk_us < CHUNK_US


def conversation() -> Conversation:
    """Ten messages of some 200 bytes each, with two tools, one of which was called."""
    tool = {
        "name": "search",
        "description": SENTENCE,
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    }
    turns = [
        Message("user" if number % 2 == 0 else "assistant", (Text(f"{number}: {SENTENCE * 2}"),))
        for number in range(7)
    ]
    called = Message("assistant", (ToolCall("call_1", "search", '{"query": "foxes"}'),))
    output = Message("user", (ToolOutput("call_1", (Text(SENTENCE),)),))
    return Conversation(
        messages=(Message("system", (Text(SENTENCE),)), *turns, called, output),
        tools=(tool, {**tool, "name": "read"}),
        options={"temperature": 0.5, "max_output": 1000},
    )


def pairs(rounds: int = 5, times: int = 200) -> Iterator[Pair]:
    """Every dialect that serves chats in front of every other."""
    spoken = [one for one in builtin() if "chat" in one.ops and one.name != "openai.completions"]
    for client in spoken:
        fields = _fields(client)
        for upstream in spoken:
            if upstream is not client:
                yield Pair(
                    client.name,
                    upstream.name,
                    _cost(_translate(client, upstream, fields), times, rounds),
                    _cost(_stream(client, upstream, fields), max(1, times // 20), rounds) / CHUNKS,
                )


def _fields(dialect: Dialect) -> Fields:
    fields = dialect.encode("chat", conversation()).fields
    return {"model": raw("bench"), "stream": raw(True), "max_tokens": raw(1000)} | fields


def _translate(client: Dialect, upstream: Dialect, fields: Fields) -> Callable[[], object]:
    return lambda: upstream.aim(upstream.encode("chat", client.decode("chat", fields)).fields, "bench", True)


def _stream(client: Dialect, upstream: Dialect, fields: Fields) -> Callable[[], object]:
    """Reads what the upstream's own writer wrote, chunk by chunk as it came."""
    chunks = _chunks(upstream)
    request = _request(client, fields)

    def run() -> None:
        reader, writer = upstream.reader("chat", True), client.writer(request)
        for chunk in chunks:
            for frame in reader.feed(chunk):
                writer.write(frame, False)

    return run


def _chunks(dialect: Dialect) -> Sequence[bytes]:
    writer = dialect.writer(_request(dialect, _fields(dialect)))
    texts: list[Event] = [Text(f"word{number} ") for number in range(CHUNKS)]
    events = [Begin("id", "bench"), *texts, Finish("stop"), Spent(Usage(input=100, output=CHUNKS))]
    written = [writer.write(Frame(Wire("bench", True), b"", (event,)), False) for event in events]
    return [*[one for one in written if one], writer.end()]


def _request(dialect: Dialect, fields: Fields) -> Request:
    return Request(Facts(id="req_1", at=0.0, wire=Wire(dialect.name, True), asked="bench"), fields)


def _cost(work: Callable[[], object], times: int, rounds: int) -> float:
    """µs of CPU of one call, the median over the rounds."""
    work()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - start) / times * 1e6)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation", description="Measure translation.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found = list(pairs())
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return
    print(f"{'client → upstream':46}{'µs/request':>12}{'µs/chunk':>10}   (< {REQUEST_US:g}, < {CHUNK_US:g})")
    for one in found:
        name = f"{one.client} → {one.upstream}"
        print(f"{name:46}{one.request_us:12.0f}{one.chunk_us:10.1f}   {'met' if one.kept else 'NOT MET'}")


if __name__ == "__main__":
    main()

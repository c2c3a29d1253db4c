"""The sink, and the page it has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from attrs import define, field

from llmrouter.protocols import ASGIReceive, ASGIScope, ASGISend
from llmrouter.types import RequestRecord

from .counts import Counts


@define(eq=False)
class PrometheusSink:
    """Receives records, and is the ASGI app at `path` that shows what they add up to.

    The sums are those of this process. `bounds` are the histograms' upper bounds in seconds, ascending.
    """

    path: str
    bounds: Sequence[float]
    max_values: int
    counts: Counts = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = Counts(self.bounds, self.max_values)

    def record(self, record: RequestRecord) -> None:
        self.counts.add(record)

    async def app(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            return await _answer(send, 405, "text/plain; charset=utf-8", b"GET only\n")
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        # Hundreds of series take a tenth of a second to render: too long for the loop.
        body, content_type = await asyncio.to_thread(_render, self.counts.snapshot(), accept)
        await _answer(send, 200, content_type, body if scope["method"] == "GET" else b"")
        return None


def _render(counts: Counts, accept: str) -> tuple[bytes, str]:
    from .render import render

    return render(counts, accept)


async def _answer(send: ASGISend, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

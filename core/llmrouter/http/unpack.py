"""Bodies that come compressed although nobody asked for it."""

from __future__ import annotations

import zlib

from .body import READING, Body, Garbled

MOST = 64 * 1024  # bytes that are unpacked at a time: a small body may hold a huge one
UNPACKED = ("", "identity")
CODINGS = ("gzip", "x-gzip", "deflate")
ANY_FORMAT = 32 + zlib.MAX_WBITS  # of gzip and of zlib, told apart by their heads
BARE = -zlib.MAX_WBITS  # deflate, as some servers take it: without a head
ZLIB = 8  # what the low half of zlib's first byte says


def unpacked(body: Body, coding: str) -> Body:
    """The body as it was before its `content-encoding`. Raises Garbled for one that we do not know."""
    name = coding.strip().lower()
    if name in UNPACKED:
        return body
    if name not in CODINGS:
        raise Garbled(f"the answer is packed as {name[:40]!r}, although it was to be plain")
    return Unpacked(body, name)


class Unpacked(Body):
    """A body that is inflated while it is read."""

    def __init__(self, body: Body, coding: str) -> None:
        self._body, self._coding = body, coding
        self._inflate = zlib.decompressobj(ANY_FORMAT)
        self._rest = b""  # of what was read, not inflated yet
        self._begun = False

    async def __anext__(self) -> bytes:
        while True:
            packed = self._rest or await self._more()
            try:
                data = self._inflated(packed)
            except zlib.error as error:
                raise READING.told(Garbled(str(error))) from error
            if data:
                return data

    def close(self) -> None:
        self._body.close()

    async def _more(self) -> bytes:
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            if self._begun and not self._inflate.eof:
                raise READING.told(Garbled(f"the answer's {self._coding} ends early")) from None
            raise

    def _inflated(self, packed: bytes) -> bytes:
        if not self._begun and self._coding == "deflate" and packed[0] & 15 != ZLIB:
            self._inflate = zlib.decompressobj(BARE)
        elif self._inflate.eof:  # gzip may go on with another member
            self._inflate = zlib.decompressobj(ANY_FORMAT)
        self._begun = True
        data = self._inflate.decompress(packed, MOST)
        self._rest = self._inflate.unused_data or self._inflate.unconsumed_tail
        return data

"""Bodies that come packed although nobody asked for it."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.http.unpack import MOST
from llmrouter.testing import run
from tests.wires import Side, cut, failing


def packed(body: bytes, coding: str) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\ncontent-length: %d\r\n\r\n"
    return head % (coding.encode(), len(body)) + body


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"hello " * 99, mtime=0)),
        ("X-GZIP ", gzip.compress(b"hello " * 99, mtime=0)),
        ("gzip", gzip.compress(b"hello " * 50, mtime=0) + gzip.compress(b"hello " * 49, mtime=0)),
        ("deflate", zlib.compress(b"hello " * 99)),
        ("deflate", bare(b"hello " * 99)),
        ("identity", b"hello " * 99),
    ],
)
@given(at=st.lists(st.integers(0, 1000), max_size=4))
def test_a_packed_body_is_given_as_it_was_before(coding: str, body: bytes, at: list[int]) -> None:
    async def main() -> None:
        assert await Side().whole(*cut(packed(body, coding), at)) == (200, b"hello " * 99)

    run(main())


def test_a_small_body_that_holds_a_huge_one_is_unpacked_piece_by_piece() -> None:
    async def main() -> None:
        answered = await Side().ask(packed(gzip.compress(bytes(64 * MOST)), "gzip"))
        sizes = [len(chunk) async for chunk in answered.body]
        assert sum(sizes) == 64 * MOST
        assert max(sizes) <= MOST

    run(main())


@pytest.mark.parametrize(
    ("coding", "body", "kind"),
    [
        ("gzip", gzip.compress(b"hello", mtime=0)[:-9], "truncated"),
        ("gzip", b"hello", "truncated"),
        ("br", b"hello", "server_error"),
    ],
)
def test_a_body_that_cannot_be_unpacked_has_a_kind(coding: str, body: bytes, kind: str) -> None:
    assert failing(packed(body, coding)).kind == kind


def test_an_answer_without_a_body_may_say_how_it_would_be_packed() -> None:
    async def main() -> None:
        side = Side()
        for _ in range(2):
            assert await side.whole(packed(b"hello", "gzip")[:-5], skip_body=True) == (200, b"")
        assert len(side.dialer.pipes) == 1

    run(main())

"""Whether bytes went through as they came, but for what a router says it changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

UNASKED = "usage: b'null' became nothing"
"""Chunks say `usage: null` where usage will follow; a client that did not ask for it sees neither."""

Opened = dict[str, msgspec.Raw]

_open = msgspec.json.Decoder(Opened)


def opened(body: bytes) -> dict[str, bytes]:
    """A JSON object one level deep: names and the bytes of their values."""
    return {name: bytes(value) for name, value in _open.decode(body).items()}


# --- requests


def changes(sent: bytes, arrived: bytes) -> dict[str, tuple[bytes | None, bytes | None]]:
    """The fields that are not, byte for byte, what they were: name → (before, after)."""
    before, after = opened(sent), opened(arrived)
    names = [*before, *(name for name in after if name not in before)]
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


# --- answers


def same_body(recorded: bytes, got: bytes) -> list[str]:
    """What differs between two plain bodies beyond `model` and the blanks around them."""
    recorded, got = recorded.strip(), got.strip()
    if recorded == got:
        return []
    try:
        before, after = opened(recorded), opened(got)
    except msgspec.MsgspecError as error:
        return [f"unreadable: {error}"]
    names = sorted(name for name in {*before, *after} - {"model"} if before.get(name) != after.get(name))
    return [f"{name}: {_short(before.get(name))} became {_short(after.get(name))}" for name in names]


def with_prompt_tokens(body: bytes) -> bytes:
    """What a client gets of embeddings whose vendor tells the total alone: SDKs look for the prompt's tokens."""
    fields = opened(body)
    usage = json.loads(fields.get("usage", b"{}"))
    if "prompt_tokens" in usage or not usage.get("total_tokens"):
        return body
    told = {"prompt_tokens": usage["total_tokens"]} | usage
    return msgspec.json.encode(_open.decode(body) | {"usage": msgspec.Raw(msgspec.json.encode(told))})


def same_stream(recorded: bytes, got: bytes, usage_asked: bool) -> list[str]:
    """What differs between two streams beyond `model`, the end mark, comments, and usage nobody asked for."""
    expected = [block for block in blocks(recorded) if usage_asked or not _only_usage(block)]
    found = list(blocks(got))
    if len(expected) != len(found):
        return [f"{len(expected)} events became {len(found)}"]
    pairs = zip(expected, found, strict=True)
    return [
        f"event {number}: {problem}"
        for number, (before, after) in enumerate(pairs)
        if before != after
        for problem in _same_block(before, after)
        if usage_asked or problem != UNASKED
    ]


def blocks(stream: bytes) -> Iterator[bytes]:
    """The events of a stream that say something: neither comments alone nor the end mark."""
    for block in re.split(rb"\r?\n\r?\n", stream.lstrip()):
        lines = [line for line in re.split(rb"\r?\n", block.strip(b"\r\n")) if line and not line.startswith(b":")]
        if lines and data_of(lines) != b"[DONE]":
            yield b"\n".join(lines)


def data_of(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def _same_block(before: bytes, after: bytes) -> list[str]:
    first, second = before.split(b"\n"), after.split(b"\n")
    if [line for line in first if not line.startswith(b"data:")] != [
        line for line in second if not line.startswith(b"data:")
    ]:
        return [f"{_short(before)} became {_short(after)}"]
    return same_body(data_of(first), data_of(second))


def _only_usage(block: bytes) -> bool:
    try:
        data = json.loads(data_of(block.split(b"\n")))
    except ValueError:
        return False
    return isinstance(data, dict) and data.get("choices") == [] and bool(data.get("usage"))


# --- meaning, read independently of the router


def text_of(body: bytes, stream: bool) -> str:
    """The text of the first choice, however the vendor writes content."""
    said = []
    for part in _parts(body, stream):
        for choice in part.get("choices") or ():
            if (choice.get("index") or 0) == 0:
                told = "delta" if stream and choice.get("delta") else "message"
                content = _content((choice.get(told) or {}).get("content"))
                said.append(content or choice.get("text") or "")  # one vendor says it twice
    return "".join(said)


def tokens_of(body: bytes, stream: bool) -> set[int]:
    """What the output may have been in tokens, by the vendor's last report; empty where there is none.

    Some leave thoughts out of `completion_tokens`; some count sound in nothing but the total.
    """
    reports = [part["usage"] for part in _parts(body, stream) if part.get("usage")]
    if not reports or reports[-1].get("completion_tokens") is None:
        return set()
    last: Mapping[str, int] = reports[-1]
    stated = last["completion_tokens"]
    return (
        {stated, last.get("total_tokens", 0) - last.get("prompt_tokens", 0)} if "total_tokens" in last else {stated}
    )


def _parts(body: bytes, stream: bool) -> Iterator[Mapping[str, Any]]:
    for data in (data_of(block.split(b"\n")) for block in blocks(body)) if stream else (body,):
        part = json.loads(data)
        if isinstance(part, dict):
            yield part


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type") != "thinking")
    return content if isinstance(content, str) else ""


def _short(data: bytes | None) -> str:
    return "nothing" if data is None else repr(data[:80])

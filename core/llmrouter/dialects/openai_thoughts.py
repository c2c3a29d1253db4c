"""Thoughts and signatures in the messages of Chat Completions, where vendors have agreed on no place for them.

| vendor | thoughts |
|---|---|
| DeepSeek, Moonshot, xAI, Z.AI | `reasoning_content` |
| Groq, Cerebras, Ollama | `reasoning` |
| OpenRouter | `reasoning`, and again in pieces: `reasoning_details` |
| Mistral | parts of the content, of type `thinking` |
| Gemini | none, but signs calls: `tool_calls[].extra_content.google.thought_signature` |

What a vendor wants back of a signed piece is the piece, not its signature alone. So the signature of such a thought
is the whole piece but for its text, as JSON. One of another dialect stands in a piece with its mark
(`signatures.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from llmrouter.types import Thought

from .common import dumps, loads
from .noting import gathered
from .signatures import MARK, tagged, untagged

NAME = "openai.chat"
_TEXTS = ("text", "summary")


# --- read


def read_thoughts(plain: Any, details: Any) -> list[Thought]:
    """What a message or a delta says under the names that there are, each thought once."""
    said = [Thought(as_text(plain))] if plain else []
    if not details:
        return said
    pieces = [one for piece in as_list(details) if isinstance(piece, dict) for one in _read_piece(piece)]
    return pieces if any(one.text for one in pieces) else said + pieces


def read_turn(message: Mapping[str, Any]) -> tuple[Thought, ...]:
    """The thoughts of an earlier turn, as a client sends them back; each signature with its dialect."""
    plain = message.get("reasoning_content") or message.get("reasoning")
    return gathered([sourced(one) for one in read_thoughts(plain, message.get("reasoning_details"))])


def read_thinking(part: Mapping[str, Any]) -> Thought:
    """A part of content that is a thought."""
    said = part.get("thinking") or ""
    if isinstance(said, list):
        said = "".join([as_text(one.get("text") or "") for one in said if isinstance(one, dict)])
    return Thought(as_text(said), as_text(part.get("signature") or ""))


def google_signature(holder: Any) -> str:
    """The signature in the `extra_content` of a call or a message; "" where there is none."""
    google = holder.get("google") if isinstance(holder, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def sourced(thought: Thought) -> Thought:
    """The thought with the dialect that its signature belongs to; a marked one is taken out of its piece."""
    if not thought.signature:
        return thought
    piece = _piece_of(thought.signature)
    inner, source = untagged(_signature_of(piece) if piece else thought.signature, NAME)
    return Thought(thought.text, thought.signature if source == NAME else inner, source, thought.redacted)


def is_foreign(piece: Any) -> bool:
    """Whether a piece holds a signature of another dialect."""
    return _signature_of(piece).startswith(MARK)


def _read_piece(piece: dict[str, Any]) -> Iterator[Thought]:
    text = as_text(piece.get("text") or piece.get("summary") or "")
    if piece.get("signature") or piece.get("data"):
        rest = {name: value for name, value in piece.items() if name not in _TEXTS}
        yield Thought(text, dumps(rest).decode(), redacted=not text and "data" in piece)
    elif text:
        yield Thought(text)


# --- written


def written_thoughts(thoughts: Iterable[Thought]) -> dict[str, Any]:
    """The fields of a message that tell these thoughts. A signature without a source is of this dialect."""
    thoughts = list(thoughts)
    fields: dict[str, Any] = {}
    if text := "".join([one.text for one in thoughts]):
        fields["reasoning_content"] = text
    signed = [one for one in thoughts if one.signature]
    if signed:
        fields["reasoning_details"] = [written_piece(one, at) for at, one in enumerate(signed)]
    return fields


def written_piece(thought: Thought, index: int) -> dict[str, Any]:
    """A signed thought as a piece of `reasoning_details`: its vendor's own, or a new one."""
    own = _piece_of(thought.signature) if thought.source in ("", NAME) else None
    if own is not None:
        name = "summary" if own.get("type") == "reasoning.summary" else "text"
        return own | {name: thought.text} if thought.text else own
    signature = tagged(thought.signature, thought.source or NAME, NAME)
    if thought.redacted:
        return {"type": "reasoning.encrypted", "data": signature, "index": index}
    return {"type": "reasoning.text", "text": thought.text, "signature": signature, "index": index}


def signed(call: dict[str, Any], signature: str, source: str) -> dict[str, Any]:
    """A call with its signature, if it has one."""
    if not signature:
        return call
    return call | {"extra_content": {"google": {"thought_signature": tagged(signature, source or NAME, NAME)}}}


def _piece_of(signature: str) -> dict[str, Any] | None:
    """The piece that a signature of this dialect stands for; None for one that is just a signature."""
    if not signature.startswith("{"):
        return None
    try:
        piece = loads(signature.encode())
    except (ValueError, msgspec.MsgspecError):
        return None
    return piece if isinstance(piece, dict) else None


def _signature_of(piece: Any) -> str:
    return as_text(piece.get("signature") or piece.get("data") or "") if isinstance(piece, dict) else ""


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else dumps(value).decode()

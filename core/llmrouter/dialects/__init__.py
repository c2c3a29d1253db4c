"""Wire formats ⇄ the canonical payloads: pure, without I/O or clock, knowing nothing of any provider.

For the author of a dialect: `parse`, `get`, `raw` and `join` open, read and close a body. `AnswerReader` cuts an
answer of either shape into frames (`LineReader` where a stream is JSON lines), given the `Meaning` of its JSON;
`BodyMeaning` is the base for answers that never stream, `unreadable` what to say of JSON that is none. `Fold`
gathers a stream into one answer, which a `BodyWriter` writes as one body. `synthetic` is an id for a call that came
without, `arguments_of` are those of a call as an object. For the author of a provider that speaks Messages:
`fit_thinking`; of one of Google's models: `Generation` and `bend_to`.
"""

from __future__ import annotations

from llmrouter.protocols import Dialect

from .anthropic_messages import Messages
from .anthropic_thinking import fit_thinking
from .calls import arguments_of, synthetic
from .common import dumps, get, join, loads, parse, raw
from .fold import BodyWriter, Fold
from .gemini_embed import Embed
from .gemini_generate import Generate
from .gemini_generations import Generation, bend_to
from .lines import LineReader
from .meaning import BodyMeaning, Meaning, unreadable
from .openai_chat import Chat
from .openai_completions import Completions
from .openai_embeddings import Embeddings
from .reader import AnswerReader
from .rerank import Rerank
from .responses import Responses
from .thinking import effort_of

__all__ = [
    "AnswerReader",
    "BodyMeaning",
    "BodyWriter",
    "Chat",
    "Completions",
    "Embed",
    "Embeddings",
    "Fold",
    "Generate",
    "Generation",
    "LineReader",
    "Meaning",
    "Messages",
    "Rerank",
    "Responses",
    "arguments_of",
    "bend_to",
    "builtin",
    "dumps",
    "effort_of",
    "fit_thinking",
    "get",
    "join",
    "loads",
    "parse",
    "raw",
    "synthetic",
    "unreadable",
]


def builtin() -> tuple[Dialect, ...]:
    """The dialects of the core; plugins hand their own over with their provider."""
    return (Chat(), Responses(), Messages(), Generate(), Completions(), Embeddings(), Embed(), Rerank())

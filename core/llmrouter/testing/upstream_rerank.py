"""An upstream in good health that ranks documents, as the API references of Cohere and Jina say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from attrs import frozen

from llmrouter.types import Op

from .speaker import Speaker
from .upstream_line import Received


@frozen
class Rerank(Speaker):
    """The longer a document, the more relevant it is. Rankings never stream."""

    dialect: ClassVar[str] = "rerank"
    op: ClassVar[Op] = "rerank"

    def asks(self, model: str, stream: bool) -> dict[str, Any]:
        return {"model": model, "query": "Who?", "documents": ["she", "nobody", "they"], "top_n": 2}

    def whole(self, request: Received) -> dict[str, Any]:
        return {"id": "scripted", "results": self.hits(request), "usage": {"total_tokens": 7}}

    def events(self, request: Received) -> Iterator[bytes]:
        raise AssertionError("rankings do not stream")

    def error(self, status: int = 500, message: str = "scripted") -> dict[str, Any]:
        return {"id": "scripted", "message": message}

    def hits(self, request: Received) -> list[dict[str, Any]]:
        asked = request.json
        lengths = sorted(enumerate(map(len, asked["documents"])), key=lambda one: -one[1])
        most = asked.get("top_n") or asked.get("top_k")
        return [{"index": index, "relevance_score": length / 100} for index, length in lengths[:most]]

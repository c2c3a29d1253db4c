"""What the SDK parsed leniently, looked at strictly."""

from __future__ import annotations

from collections.abc import Sequence

from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel


def strict(value: BaseModel) -> None:
    """Raise where a value does not fit the SDK's own type: the SDK itself never checks."""
    type(value).model_validate(value.model_dump(mode="json", exclude_unset=True, by_alias=True), strict=False)


def text_of(chunks: Sequence[ChatCompletionChunk]) -> str:
    """The text of a streamed answer."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

"""Texts or token ids, as Completions and Embeddings take them: a string, strings, ids, lists of ids."""

from __future__ import annotations

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields

from .common import decode
from .openai_peek import BYTES_PER_TOKEN

Input = str | tuple[int, ...]

_inputs = msgspec.json.Decoder(str | list[str | int | tuple[int, ...]])


def read_inputs(fields: Fields, name: str) -> tuple[Input, ...]:
    """Raises InvalidRequest for an empty list, and for one of several kinds."""
    if name not in fields:
        raise InvalidRequest(f"{name} is missing", param=name, code="missing_required_parameter")
    try:
        value = decode(_inputs, fields[name])
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}", param=name, code="invalid_type") from None
    if isinstance(value, str):
        return (value,)
    kinds = {type(one) for one in value}
    if len(kinds) != 1:
        fault = "has several kinds of input" if kinds else "is empty"
        raise InvalidRequest(f"{name} {fault}", param=name)
    if int in kinds:
        return (tuple([one for one in value if isinstance(one, int)]),)
    return tuple([one for one in value if not isinstance(one, int)])


def count_tokens(inputs: tuple[Input, ...]) -> int:
    """Ids are counted, texts are estimated."""
    return sum([len(one.encode()) // BYTES_PER_TOKEN if isinstance(one, str) else len(one) for one in inputs])

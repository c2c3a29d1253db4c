"""A body → what it means → the body of another dialect. What a dialect stumbles over there is the body's fault."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect
from llmrouter.types import Encoded, Fields, Op, Payload

log = logging.getLogger("llmrouter.dialects")


def understood(dialect: Dialect, op: Op, fields: Fields) -> Payload:
    """What a body means. Raises InvalidRequest, and nothing else."""
    with _blamed(dialect):
        return dialect.decode(op, fields)


def translated(own: Dialect, target: Dialect, op: Op, fields: Fields) -> Encoded:
    """A body of one dialect in another. Raises InvalidRequest, and nothing else."""
    payload = understood(own, op, fields)
    with _blamed(target):
        return target.encode(op, payload)


@contextmanager
def _blamed(dialect: Dialect) -> Iterator[None]:
    try:
        yield
    except InvalidRequest:
        raise
    except Exception as error:  # a value of a kind that nobody thought of; nothing else decides here
        log.warning("%s stumbled over a body: %s", dialect.name, type(error).__name__)
        message = (
            f"The body cannot be said in {dialect.name}: something in it is of a kind that means nothing there"
        )
        raise InvalidRequest(message, code="invalid_body") from None

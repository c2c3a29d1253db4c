"""Servers that answer one client program alone: it is let through as it is, and nobody is dressed up as it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from llmrouter.dialects import dumps

REASON = (
    "This provider answers Claude Code alone. The request did not come from it, or had to be translated, and the "
    "router does not pretend to be another client."
)


def is_itself(headers: Mapping[str, str]) -> bool:
    """Whether the client says that it is the program, in the headers that it always sends."""
    return headers.get("user-agent", "").startswith("claude-cli/") and "x-app" in headers


class Turned:
    """The reply to a call that is turned away here, without asking anybody."""

    status = 403
    headers: Mapping[str, str] = {"content-type": "application/json"}

    async def chunks(self) -> AsyncIterator[bytes]:
        error = {"type": "permission_error", "code": "client_not_served", "message": REASON}
        yield dumps({"type": "error", "error": error})

    def close(self) -> None:
        """There is nothing to be closed."""

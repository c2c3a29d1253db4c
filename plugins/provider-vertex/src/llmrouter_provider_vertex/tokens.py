"""Access tokens: fetched off the event loop, kept, and fetched anew before they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from llmrouter.errors import LLMRouterError, TransportError
from llmrouter.protocols import Clock

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EARLY = 300.0
"""Seconds before its end that a token is not used any more."""

Fetch = Callable[[], tuple[str, float]]
"""A token, and the seconds it lasts. Called in a thread. Raises Denied, and TransportError."""


class Denied(LLMRouterError):
    """The credentials were refused."""


class Tokens:
    """The token of one account. Who asks while it is fetched waits for the same one."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._ends = 0.0
        self._lock = asyncio.Lock()
        self.value = ""

    async def get(self) -> str:
        if self._clock() < self._ends - EARLY:
            return self.value
        async with self._lock:
            if self._clock() >= self._ends - EARLY:
                self.value, lasts = await asyncio.to_thread(self._fetch)
                self._ends = self._clock() + max(lasts, EARLY + 1.0)
        return self.value


def google(service_account: Mapping[str, Any]) -> Fetch:
    """Tokens for a service account, or where it is empty for whoever this machine is to Google.

    Raises LLMRouterError where google-auth is not installed, or the service account is none.
    """
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.exceptions import TransportError as Unreachable
        from google.auth.transport.requests import Request
        from google.oauth2.service_account import Credentials
    except ImportError as error:
        raise LLMRouterError(f"{error}: pip install 'llmrouter-provider-vertex[auth]'") from None
    made: list[Any] = []
    if service_account:
        try:
            read: Any = Credentials.from_service_account_info
            made.append(read(service_account, scopes=[SCOPE]))
        except (ValueError, GoogleAuthError) as error:
            raise LLMRouterError(f"the service account cannot be used: {type(error).__name__}") from None

    def fetch() -> tuple[str, float]:
        try:
            if not made:  # looks for files, and asks the machine's own metadata: not while a router starts
                made.append(google.auth.default(scopes=[SCOPE])[0])
            made[0].refresh(Request())
        except Unreachable as error:
            raise TransportError("connect", f"Google's tokens: {type(error).__name__}") from error
        except GoogleAuthError as error:
            raise Denied(f"Google gives no token: {str(error)[:200]}") from error
        return made[0].token, (made[0].expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()

    return fetch

"""The names under which a failure is charged and a hold stands, widest first."""

from __future__ import annotations

from llmrouter.types import Account, Endpoint, Scope


def scopes(endpoint: Endpoint, account: Account) -> tuple[str, str, str, str]:
    """Provider, endpoint, account, and quota group × model."""
    return (
        f"provider:{endpoint.provider}",
        f"endpoint:{endpoint.id}",
        f"account:{endpoint.provider}/{account.id}",
        f"account_model:{account.group}/{endpoint.model}",
    )


def charged(endpoint: Endpoint, account: Account, scope: Scope) -> str:
    """The one of those names that a failure is charged to; "" for the request alone."""
    return next((name for name in scopes(endpoint, account) if name.startswith(f"{scope}:")), "")

"""Asking providers for their lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from attrs import frozen

from llmrouter.catalogue.joining import upstream
from llmrouter.catalogue.lists import Listing, Listings, failed, renewed
from llmrouter.errors import LLMRouterError
from llmrouter.protocols import Clock, ListsModels, Provider
from llmrouter.settings import ProviderSettings
from llmrouter.types import Endpoint

PATIENCE = 60.0  # seconds for one provider, with all its accounts
MOST_ACCOUNTS = 3
LONGEST_PROBLEM = 300  # characters


@frozen
class Asked:
    """What became of one provider's list."""

    provider: str
    before: Listing
    after: Listing


async def ask_all(
    names: Sequence[str],
    providers: Mapping[str, Provider],
    entries: Mapping[str, ProviderSettings],
    listings: Listings,
    clock: Clock,
) -> AsyncIterator[Asked]:
    """Ask these providers at the same time, and tell each when it has answered."""
    tasks = [
        asyncio.ensure_future(_ask(providers[name], entries[name], known(entries[name], listings), clock))
        for name in names
    ]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()


def can_list(providers: Mapping[str, Provider]) -> list[str]:
    """The providers that have a list."""
    return [name for name, provider in providers.items() if isinstance(provider, ListsModels)]


def known(entry: ProviderSettings, listings: Listings) -> Listing:
    """The list of a provider, empty where there is none or only one of another upstream."""
    of = upstream(entry)
    found = listings.get(entry.name)
    return found if found and found.of == of else Listing(of=of)


async def _ask(provider: Provider, entry: ProviderSettings, before: Listing, clock: Clock) -> Asked:
    assert isinstance(provider, ListsModels)
    try:
        async with asyncio.timeout(PATIENCE):
            found = await _first(provider, entry)
        after = renewed(before, found, clock())
    except TimeoutError:
        after = failed(before, f"no list within {PATIENCE:g} s", clock())
    except Exception as error:  # a plugin may raise what it likes, and give what it likes
        said = str(error) if isinstance(error, LLMRouterError) else repr(error)
        after = failed(before, said[:LONGEST_PROBLEM], clock())
    return Asked(entry.name, before, after)


async def _first(provider: ListsModels, entry: ProviderSettings) -> Sequence[Endpoint]:
    """The list of the first account that may see it: accounts of a provider are interchangeable."""
    accounts = [one.id for one in entry.accounts if one.enabled][:MOST_ACCOUNTS]
    if not accounts:
        raise LLMRouterError("no account is enabled")
    for account in accounts[:-1]:
        try:
            return await provider.models(account)
        except Exception:  # noqa: S112 (the last one's failure is told)
            continue
    return await provider.models(accounts[-1])

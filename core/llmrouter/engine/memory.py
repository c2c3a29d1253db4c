"""What a client may refer to by name: signatures of earlier turns, stored responses. Bounded, per client.

A loss is a miss, never an error: who asks knows what to do without.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from attrs import frozen

from llmrouter.protocols import Cache
from llmrouter.types import Keep


@frozen
class Memory:
    """Names → bytes over a store. No client sees what another one kept."""

    store: Cache
    log: logging.Logger

    async def find(self, client: str, names: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these names; those that are not are left out."""
        found: dict[str, bytes] = {}
        for name in names:
            try:
                value = await self.store.get(_key(client, name))
            except Exception:
                self.log.exception("the memory failed to read; a miss")
                return found
            if value is not None:
                found[name] = value
        return found

    async def keep(self, client: str, keep: Keep) -> None:
        try:
            await self.store.set(_key(client, keep.name), keep.value, keep.ttl)
        except Exception:
            self.log.exception("the memory failed to write")

    async def forget(self, client: str, name: str) -> bool:
        """Whether there was anything to be forgotten."""
        try:
            return await self.store.clear(_key(client, name)) > 0
        except Exception:
            self.log.exception("the memory failed to forget")
            return False


def _key(client: str, name: str) -> str:
    """Ends with a slash, so that no key is the beginning of another."""
    return f"{quote(client, safe='')}/{quote(name, safe='')}/"

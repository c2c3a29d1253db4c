"""What the server needs of a router, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from llmrouter.catalogue.offers import Offer
from llmrouter.protocols import ASGIApp, Client, Clock, Control, Dialect
from llmrouter.settings import Settings
from llmrouter.types import Decision, Request


class World(Protocol):
    """Everything one configuration says. Swapped whole: a request keeps the one it began with."""

    @property
    def dialects(self) -> Mapping[str, Dialect]: ...
    def offers(self) -> Sequence[Offer]:
        """Names that clients may ask for, in the order to show them."""
        ...


class Memory(Protocol):
    """What clients may refer to by name, each for itself."""

    async def find(self, client: str, names: Sequence[str]) -> Mapping[str, bytes]: ...
    async def forget(self, client: str, name: str) -> bool: ...


class Engine(Protocol):
    @property
    def memory(self) -> Memory: ...
    async def serve(self, request: Request, world: Any, client: Client) -> None:
        """Answer the client, whatever the upstreams do. Only a cancellation passes."""
        ...

    async def preview(self, request: Request, world: Any) -> Decision:
        """What would be done, without a call. Raises InvalidRequest."""
        ...


class Router(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def world(self) -> World: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def pages(self) -> Sequence[tuple[str, ASGIApp]]: ...
    @property
    def control(self) -> Control: ...
    @property
    def clock(self) -> Clock: ...
    def ready(self) -> tuple[bool, Mapping[str, Any]]: ...

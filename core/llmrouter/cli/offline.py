"""What a router would have, without one: its configuration, its providers, the last copy of their lists."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llmrouter import builtin
from llmrouter.catalogue.joining import fitting, join
from llmrouter.config import load
from llmrouter.discovery import ListFile
from llmrouter.discovery import told as tell
from llmrouter.protocols import ProviderType
from llmrouter.state import state_dir

if TYPE_CHECKING:
    from llmrouter.building import Builder
    from llmrouter.config import Loaded
    from llmrouter.discovery import Told
    from llmrouter.plugins import Plugins

CONNECT = 5.0  # seconds to a connection


def configured(path: Path | None, environ: Mapping[str, str], required: bool) -> Loaded:
    """The configuration. Raises ConfigError; `required` says so of a missing variable or plugin too."""
    builtins = [(builtin, builtin.NAME)]
    return load(path, environ, builtins=builtins, require_plugins=required, require_variables=required)


def told(path: Path | None, environ: Mapping[str, str]) -> Told:
    """Every model that a router with this configuration would know of now."""
    loaded = configured(path, environ, required=False)
    providers, plugins = loaded.settings.providers, loaded.plugins
    endpoints = {
        endpoint.id: endpoint
        for entry in providers.values()
        if entry.enabled and plugins.has("provider", entry.plugin)
        if isinstance(type_ := plugins.get("provider", entry.plugin), ProviderType)
        for endpoint in type_.endpoints(entry)
    }
    listings = fitting(ListFile(state_dir(environ)).read(), providers)
    return tell(join(endpoints, providers, listings), listings)


@asynccontextmanager
async def workshop(plugins: Plugins, state: Path) -> AsyncIterator[Builder]:
    """Builds plugins that have no router around them."""
    from llmrouter.building import Builder, Context
    from llmrouter.http import open_transport
    from llmrouter.router import Switchboard, steady_clock

    async with AsyncExitStack() as stack:
        context = Context(
            name="llmrouter",
            transport=await stack.enter_async_context(open_transport(connect=CONNECT, limit=None)),
            clock=steady_clock(),
            random=random.Random(),
            logger=logging.getLogger("llmrouter"),
            state_dir=state,
            control=Switchboard(),
            plugins=plugins,
        )
        yield Builder(context, stack)

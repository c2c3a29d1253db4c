"""An embedded upstream: it answers in process and needs neither an account nor a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmrouter import BuildContext, ProviderType, hookimpl

from .config import EchoSettings, endpoints, read

if TYPE_CHECKING:
    from .provider import Echo


def build(config: EchoSettings, context: BuildContext) -> Echo:
    from .provider import Echo

    return Echo(config, context.clock, context.random)


@hookimpl
def llmrouter_register_providers() -> Iterable[ProviderType]:
    return [
        ProviderType(
            name="echo",
            config=EchoSettings,
            schema=read("schema.json"),
            build=build,
            endpoints=endpoints,
            demo=read("demo.json"),
        )
    ]

"""Where a configuration comes from: a file, or else the environment, or else a demonstration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmrouter.errors import ConfigError, Problem
from llmrouter.plugins import Plugins
from llmrouter.protocols import ProviderType

from .document import Document

ENVIRONMENT = "environment"
DEMO = "demo"


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one asked for, else the first there is. Raises ConfigError."""
    if path is None and (asked := environ.get("LLMROUTER_CONFIG")):
        path = Path(asked).expanduser()
    if path is not None:
        if not path.is_file():
            raise ConfigError([Problem(message="there is no such file", file=str(path))])
        return path
    return next((one for one in places(environ) if one.is_file()), None)


def places(environ: Mapping[str, str]) -> list[Path]:
    """Where a configuration is looked for when none is asked for."""
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    folder = Path(environ["XDG_CONFIG_HOME"]) if environ.get("XDG_CONFIG_HOME") else home / ".config"
    return [Path("llmrouter.yaml"), folder / "llmrouter" / "config.yaml"]


def derive(plugins: Plugins, environ: Mapping[str, str]) -> Document:
    """A configuration without a file: from the keys in the environment, or the demonstration of a plugin."""
    providers: dict[str, Any] = {}
    demo: Mapping[str, Any] | None = None
    for type_ in plugins.all("provider"):
        assert isinstance(type_, ProviderType)
        providers = {**type_.suggest(environ), **providers}
        demo = demo or type_.demo
    if providers:
        return Document({"providers": providers}, ENVIRONMENT, Path())
    if demo:
        return Document(demo, DEMO, Path())
    raise ConfigError([Problem(message=_nothing(plugins, environ))])


def _nothing(plugins: Plugins, environ: Mapping[str, str]) -> str:
    looked = " or ".join(str(one) for one in places(environ))
    if plugins.names("provider"):
        return (
            f"there is no configuration ({looked}), and no key of a provider in the environment. "
            "Write one, or set a variable such as OPENAI_API_KEY"
        )
    return (
        "no provider plugin is installed, so there is nothing to route to. "
        'Run: pip install llmrouter-provider-openai, or for the usual set: pip install "llmrouter[standard]"'
    )

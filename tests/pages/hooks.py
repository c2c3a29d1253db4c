"""docs/reference/hooks.md: the hooks, out of `llmrouter.hookspecs`, and what each returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from llmrouter import hookspecs, protocols
from llmrouter.plugins import HOOKS, ON_DEMAND, TYPES

from .markdown import GENERATED, cell, table

HEAD = f"""# Hooks

{GENERATED}

A plugin's module implements one or more of these with `@hookimpl` from `llmrouter`. All are plain functions, called
at start-up and never on the way of a request; what runs there are the objects that their descriptors build. A hook
that raises, a name that is no hook, or an argument that is not listed here keeps the plugin out, and the error
names it. [How a plugin is found and loaded](../plugins/index.md).
"""
MEANING = {
    "name": "Its name in the configuration; unique in its kind.",
    "config": "The attrs class its keys are structured into.",
    "schema": "JSON Schema of its keys: an object schema, usually from the package's own `schema.json`.",
    "build": "Makes the object from the config and a `BuildContext`. What it returns may be an async context "
    "manager: that is the object's lifespan. Heavy imports belong in here.",
    "endpoints": "The endpoints that an entry of `providers` has.",
    "dialects": "Wire formats of its own; empty for most.",
    "suggest": "Entries of `providers` for the keys found in the environment, for a start without a configuration.",
    "demo": "A whole configuration that needs no account, used when nothing else is found.",
    "limits": "Presets of `limits` by the word that stands for them in the configuration.",
    "path": "Where the ASGI app is mounted.",
}
CONTEXT = {
    "transport": "For HTTP: httpx's asynchronous transport interface, with the router's pools and time-outs.",
    "clock": "Seconds since the epoch, never running backwards. In tests it is virtual.",
    "random": "The only source of chance; seeded in tests.",
    "logger": "Named after the instance. What is logged may hold no secret and no prompt.",
    "control": "What the admin API can do: `status()` and `records(limit)`.",
}


def hooks() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every hook there is, in the order of its module."""
    for name, found in vars(hookspecs).items():
        if name.startswith(f"{hookspecs.PROJECT}_"):
            yield name, found


def page() -> str:
    return "\n".join([HEAD, *(_hook(name, found) for name, found in hooks()), _descriptors(), _context()])


def _hook(name: str, found: Callable[..., Any]) -> str:
    about, _, example = inspect.cleandoc(found.__doc__ or "").partition("\n\nExample: ")
    lines = [f"## `{name}`", "", f"```python\n{_signature(name, found)}\n```", "", about, ""]
    if kind := next((kind for kind, hook in HOOKS.items() if hook == name), ""):
        loads = f"of a plugin called `{kind}-…`" if kind in ON_DEMAND else "of a plugin with a plain name"
        lines += [f"The hook {loads}; it returns descriptors of the class `{TYPES[kind].__name__}`.", ""]
    return "\n".join([*lines, f"```python\n{example.strip('`')}\n```", ""])


def _signature(name: str, found: Callable[..., Any]) -> str:
    said = str(inspect.signature(found)).replace("'", "")
    return f"@hookimpl\ndef {name}{said}: ..."


def _descriptors() -> str:
    classes = {type_.__name__: type_ for type_ in TYPES.values()}
    rows = []
    for one in attrs.fields(protocols.PluginType):
        rows.append((f"`{one.name}`", "all", f"`{cell(str(one.type))}`", MEANING[one.name]))
    for name, type_ in classes.items():
        own = [one for one in attrs.fields(type_) if one.name not in attrs.fields_dict(protocols.PluginType)]
        rows += [(f"`{one.name}`", f"`{name}`", f"`{cell(str(one.type))}`", MEANING[one.name]) for one in own]
    return "## Descriptors\n\n" + table(("field", "of", "type", "meaning"), rows)


def _context() -> str:
    about = inspect.cleandoc(protocols.BuildContext.__doc__ or "")
    rows = []
    for name, found in vars(protocols.BuildContext).items():
        if isinstance(found, property):
            assert found.fget is not None
            type_ = inspect.get_annotations(found.fget)["return"]
            rows.append((f"`{name}`", f"`{type_}`", cell(found.__doc__ or CONTEXT[name])))
        elif name == "build":
            signature = str(inspect.signature(found)).replace("'", "").replace("self, ", "")
            rows.append((f"`{name}`", f"`{signature}`", cell(found.__doc__ or "")))
    return f"## `BuildContext`\n\n{about}\n\n" + table(("", "type", "meaning"), rows)

"""Files that are made from others: `python -m tests.freshness` says which are stale, `--write` writes them.

The configuration's schema is made from the core's and the fragments of this repository's plugins, the pages of
docs/reference from the schema, the hooks, the commands, the provider plugins, and tables of headers and systems.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmrouter import builtin
from llmrouter.config import compose_installed
from llmrouter.plugins import Plugins
from tests.pages import commands, configuration, headers, hooks, providers, systems, trace

ROOT = Path(__file__).parents[1]


def own_plugins() -> Plugins:
    """The plugins of this repository and no others, wherever more are installed."""
    plugins = Plugins.discover([one.parent.name for one in ROOT.glob("plugins/*/pyproject.toml")], environ={})
    plugins.register(builtin, builtin.NAME)
    return plugins


def made() -> Mapping[str, str]:
    """Every generated file, by its path, as it should be. Raises RuntimeError when a plugin does not load."""
    plugins = own_plugins()
    schema, broken = compose_installed(plugins)
    if broken:
        raise RuntimeError("\n".join(broken))
    return {
        "schemas/llmrouter.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        "docs/reference/configuration.md": configuration.page(plugins),
        "docs/reference/hooks.md": hooks.page(),
        "docs/reference/commands.md": commands.page(),
        "docs/reference/headers.md": headers.page(),
        "docs/reference/providers.md": providers.page(plugins),
        "docs/reference/systems.md": systems.page(),
        "docs/reference/trace.md": trace.page(),
    }


def stale(root: Path, files: Mapping[str, str]) -> list[str]:
    return [path for path, text in files.items() if not _same(root / path, text)]


def write(root: Path, files: Mapping[str, str]) -> None:
    for path in stale(root, files):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(files[path], "utf-8")


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    files = made()
    if "--write" in arguments:
        write(root, files)
    found = stale(root, files)
    for path in found:
        print(f"{path} is stale: run `make fix`")
    return 1 if found else 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

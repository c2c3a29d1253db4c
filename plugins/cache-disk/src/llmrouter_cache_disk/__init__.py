"""Answers on disk, shared by the workers of one machine and still there after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from llmrouter import BuildContext, CacheType, hookimpl

if TYPE_CHECKING:
    from .cache import DiskCache


@frozen(kw_only=True)
class Config:
    path: str | None = None  # None: `cache` in the state directory
    max_bytes: int = 1024 * 1024 * 1024


def build(config: Config, context: BuildContext) -> DiskCache:
    from .cache import DiskCache

    folder = Path(config.path).expanduser() if config.path else context.state_dir / "cache"
    return DiskCache(folder, config.max_bytes, context.clock, context.logger)


@hookimpl
def llmrouter_register_caches() -> Iterable[CacheType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [CacheType(name="disk", config=Config, schema=schema, build=build)]

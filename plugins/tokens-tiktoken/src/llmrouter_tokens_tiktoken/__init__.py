"""Exact token counts for models whose vocabulary is public."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from llmrouter import BuildContext, TokenCounterType, hookimpl

if TYPE_CHECKING:
    from .counter import TiktokenCounter


@frozen(kw_only=True)
class Config:
    path: str | None = None


def folders(config: Config, environ: Mapping[str, str], state_dir: Path) -> list[Path]:
    """Where rank files may lie, best first."""
    if config.path:
        return [Path(config.path).expanduser()]
    named = [environ.get("LLMROUTER_TIKTOKEN_DIR"), environ.get("TIKTOKEN_CACHE_DIR")]
    return [*(Path(one).expanduser() for one in named if one), state_dir / "tiktoken"]


def build(config: Config, context: BuildContext) -> TiktokenCounter:
    from .counter import TiktokenCounter
    from .vocabulary import bundled

    return TiktokenCounter(bundled(), folders(config, os.environ, context.state_dir), context.logger)


@hookimpl
def llmrouter_register_token_counters() -> Iterable[TokenCounterType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [TokenCounterType(name="tiktoken", config=Config, schema=schema, build=build)]

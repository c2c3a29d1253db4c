"""Limits and budgets in a SQLite file, shared by the workers of one machine and still there after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from llmrouter import BuildContext, QuotaStoreType, hookimpl

if TYPE_CHECKING:
    from .store import SqliteQuota


@frozen(kw_only=True)
class Config:
    path: str | None = None  # None: `quota.db` in the state directory


def build(config: Config, context: BuildContext) -> SqliteQuota:
    from .store import SqliteQuota

    path = Path(config.path).expanduser() if config.path else context.state_dir / "quota.db"
    return SqliteQuota(path, context.clock)


@hookimpl
def llmrouter_register_quota_stores() -> Iterable[QuotaStoreType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [QuotaStoreType(name="sqlite", config=Config, schema=schema, build=build)]

"""Mends what a model meant to be JSON, and calls of tools that it wrote as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from llmrouter import BuildContext, RepairType, hookimpl

if TYPE_CHECKING:
    from .repairs import Mender


@frozen(kw_only=True)
class Config:
    max_bytes: int = 256 * 1024


def build(config: Config, context: BuildContext) -> Mender:
    from .repairs import Mender

    return Mender(config.max_bytes)


@hookimpl
def llmrouter_register_repairs() -> Iterable[RepairType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [RepairType(name="repair", config=Config, schema=schema, build=build)]

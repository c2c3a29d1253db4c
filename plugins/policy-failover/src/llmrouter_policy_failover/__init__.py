"""Spreads traffic over the peers of a tier: by weight, by load, in turns or in order; free ones first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from llmrouter import BuildContext, PolicyType, hookimpl

if TYPE_CHECKING:
    from .policy import Failover


@frozen(kw_only=True)
class Config:
    peers: Literal["weighted", "least_loaded", "round_robin", "order"] = "weighted"
    free_first: bool = True


def build(config: Config, context: BuildContext) -> Failover:
    from .policy import Failover

    return Failover(config.peers, config.free_first)


@hookimpl
def llmrouter_register_policies() -> Iterable[PolicyType]:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))
    return [PolicyType(name="failover", config=Config, schema=schema, build=build)]

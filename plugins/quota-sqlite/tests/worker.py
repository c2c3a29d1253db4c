"""A worker process: waits for a line, then reserves many times at once, and prints how often it succeeded."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from llmrouter_quota_sqlite.store import SqliteQuota

from llmrouter.engine.quota import Quota
from llmrouter.types import Ask, Bucket, Exhausted


async def main(path: str, limit: str, asks: str, then: str) -> None:
    bucket, places = Bucket("group:a", "requests", float(limit), "36500d"), Bucket("client:b", "concurrent", 50, "")
    async with SqliteQuota(Path(path), time.time) as store:
        quota = Quota(store, time.time, "closed")
        print("ready", flush=True)
        sys.stdin.readline()
        wanted = [Ask(bucket, 1), Ask(places, 1)] if then == "hang" else [Ask(bucket, 1)]
        answers = await asyncio.gather(*(quota.reserve(wanted) for _ in range(int(asks))))
        await quota._report()
        print(sum(not isinstance(answer, Exhausted) for answer in answers), quota.state, flush=True)
        if then == "hang":
            sys.stdin.readline()
        await quota.aclose()


asyncio.run(main(*sys.argv[1:]))

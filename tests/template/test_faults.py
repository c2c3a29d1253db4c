"""Faults that are planted in what comes out of the template: its own tests are red."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import frozen

from .baking import passed, tried

DEAF = """
    async def send(self, call):
        class Deaf:
            def __init__(self, reply):
                self.status, self.headers, self.chunks = reply.status, reply.headers, reply.chunks

            def close(self):
                pass

        return Deaf(await super().send(call))
"""
WHOLE = """
    async def send(self, call):
        from llmrouter.provider import ByteStream, HTTPReply

        reply = await super().send(call)
        body = b"".join([chunk async for chunk in reply.chunks()])
        return HTTPReply(reply.status, [], ByteStream(body))
"""
IN_URL = """
    def url(self, call):
        from llmrouter.provider import URL

        return URL(f"{super().url(call)}?key={self._secrets[0]}")
"""
SWALLOWED = """
    def judge(self, status, headers, body):
        return super().judge(status, headers, b"")
"""
OFFERED = "\n    def headers("
"""Where a method can be put into the class."""


@frozen
class Fault:
    """A change in a file of a package, and words of the test that has to see it."""

    file: str
    before: str
    after: str
    seen: str


PROFILE = {
    "another address": Fault("profile.yaml", "example/v1", "example/v2", "answered_once"),
    "another path": Fault("profile.yaml", "env:", "paths: {openai.chat: /chat}\nenv:", "asked_as_it_wants"),
    "a field not renamed": Fault("profile.yaml", "rename: {max", "rename: {most", "asked_as_it_wants"),
    "another class of failure": Fault("profile.yaml", "payment", "auth", "own_errors"),
    "another variable": Fault("profile.yaml", "ACME_API_KEY", "ACME_KEY", "found_in_the_environment"),
    "another dialect": Fault("profile.yaml", "env:", "dialects: [openai.responses]\nenv:", "call_is_answered"),
    "a typo": Fault("profile.yaml", "limit_headers", "limit_header", "descriptor"),
}
DIALECT = {
    "another header": Fault("provider.py", '"x-api-key"', '"api-key"', "asked_where"),
    "another path": Fault("provider.py", "/generate", "/completions", "asked_where"),
    "the key in the address": Fault("provider.py", OFFERED, IN_URL + OFFERED, "in_a_header_and_nowhere_else"),
    "an error without words": Fault("provider.py", OFFERED, SWALLOWED + OFFERED, "vendors_own_words"),
    "another class of failure": Fault("provider.py", '"payment"', '"auth"', "own_errors"),
    "a stream not closed": Fault("provider.py", OFFERED, DEAF + OFFERED, "closed_between_two_chunks"),
    "a stream held back": Fault("provider.py", OFFERED, WHOLE + OFFERED, "call_is_answered"),
    "another variable": Fault("config.py", "ACME_API_KEY", "ACME_KEY", "found_in_the_environment"),
    "usage misread": Fault("dialect.py", "input=piece.usage.input", "input=piece.usage.output", "answered_once"),
    "an end not seen": Fault("dialect.py", "if piece.stop:", "if False:", "read_by_the_dialect"),
    "an option lost": Fault("dialect.py", "else [name]", "else []", "conversation_is_written"),
    "no stream asked for": Fault("dialect.py", "raw(stream)", "raw(False)", "conversation_is_written"),
}
FAULTS = {"profile": PROFILE, "dialect": DIALECT}
kinds = pytest.mark.parametrize("kind", FAULTS)


@kinds
def test_every_planted_fault_is_seen(packages: Mapping[str, Path], tmp_path: Path, kind: str) -> None:
    def is_seen(name: str) -> bool:
        fault, package = FAULTS[kind][name], tmp_path / name
        shutil.copytree(packages[kind], package)
        plant(fault, package)
        done = tried(package, "-q", "-k", fault.seen)
        assert re.search(r"\d (failed|error)", done.stdout) or done.returncode == 0, done.stdout + done.stderr
        return done.returncode != 0

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = dict(zip(FAULTS[kind], pool.map(is_seen, FAULTS[kind]), strict=True))
    assert len(seen) >= 5
    assert [name for name in seen if not seen[name]] == []


def plant(fault: Fault, package: Path) -> None:
    path = package / "src" / "llmrouter_provider_acme" / fault.file
    text = path.read_text("utf-8")
    assert fault.before in text
    path.write_text(text.replace(fault.before, fault.after), "utf-8")


@kinds
def test_without_a_fault_the_same_tests_pass(packages: Mapping[str, Path], kind: str) -> None:
    words = {fault.seen for fault in FAULTS[kind].values()}
    assert passed(tried(packages[kind], "-q", "-k", " or ".join(words))) >= len(words)

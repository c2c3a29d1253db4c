"""Scenarios that no script of one upstream can play: names, certificates, keys, stores, clocks."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from attrs import evolve

from llmrouter.settings import LimitSettings, QuotaSettings, Settings
from llmrouter.testing.speaker import Speaker
from llmrouter.testing.upstream import Line, Script, Upstream
from llmrouter.testing.upstream_faults import named

from . import plugin
from .scenario import Scenario, Shape, Stage

NOWHERE = "http://chaos.invalid"
"""RFC 2606: a name that never exists. The run's own resolver does not even ask."""
DAY = 86_400.0
KEYS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
"""Headers that may hold the key of an account."""
ADDRESS = "subjectAltName=IP:127.0.0.1"
"""What a certificate says of whom it is for; all that is wrong with ours is who signed it."""
PLENTY = LimitSettings(unit="requests", amount=1e9, window="minute")
TURN = 1.0
"""Seconds that one that flaps is down, and up."""


def arranged() -> Iterator[Scenario]:
    """All of them."""
    yield Scenario(name="refused", about="nobody listens at its address", arrange=refused, unseen=True)
    yield Scenario(name="dns_failure", about="its name cannot be resolved", arrange=unknown_name, unseen=True)
    yield Scenario(name="plain_text_tls", about="speaks plain text on its TLS port", arrange=plain_tls, unseen=True)
    yield Scenario(
        name="bad_certificate", about="has a certificate that nobody signed", arrange=self_signed, unseen=True
    )
    yield Scenario(name="one_bad_key", about="refuses one key of its pool", arrange=one_bad_key)
    yield Scenario(
        name="flapping", about="is down and up, a second each", arrange=flaps, requests=9, every=TURN / 4
    )
    yield Scenario(name="total_outage", about="nobody answers", arrange=outage, excuse="outage")
    yield Scenario(name="everybody_hangs", about="everybody is silent", arrange=silence, excuse="outage")
    yield Scenario(name="bad_keys_everywhere", about="everybody refuses the key", arrange=bad_keys, excuse="keys")
    yield Scenario(name="plugin_raises", about="its plugin has a bug in `send`", arrange=raises, unseen=True)
    yield Scenario(name="plugin_raises_in_judge", about="its plugin has a bug in `judge`", arrange=misjudges)
    yield Scenario(name="quota_store_down", about="the quota store cannot be reached", arrange=store_down)
    yield from _jumps()


def _jumps() -> Iterator[Scenario]:
    """One shape is enough: what they change is the time of this process."""
    only: tuple[Shape, ...] = ("stream",)
    for name, where, arrange in (("clock_jumps", "ahead", jump_ahead), ("clock_jumps_back", "back", jump_back)):
        about = f"hangs, and the wall clock jumps a day {where}"
        yield Scenario(name=name, about=about, arrange=arrange, shapes=only, alone=True)


def missing() -> Mapping[str, str]:
    """Scenarios that this machine cannot play, and why."""
    if shutil.which("openssl"):
        return {}
    return {"bad_certificate": "there is no program `openssl` to make a certificate with"}


# ---- the way there


def refused(stage: Stage) -> None:
    gone = stage.open(Upstream(_silent))
    gone.refuse()
    stage.change(base_url=gone.base_url)


def unknown_name(stage: Stage) -> None:
    stage.change(base_url=NOWHERE)


def plain_tls(stage: Stage) -> None:
    address = stage.entries[stage.first].base_url or ""
    stage.change(base_url=address.replace("http://", "https://"))


def self_signed(stage: Stage) -> None:
    folder = stage.open(tempfile.TemporaryDirectory(prefix="llmrouter-chaos-"))
    secure = stage.open(Upstream(_silent, tls=certificate(Path(folder))))
    stage.change(base_url=secure.base_url)


def certificate(folder: Path) -> ssl.SSLContext:
    """A key and a certificate that signs itself, made now."""
    program, key, own = shutil.which("openssl"), folder / "key.pem", folder / "own.pem"
    assert program is not None
    wanted = ["-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", ADDRESS]
    made = [program, "req", "-x509", *wanted, "-keyout", str(key), "-out", str(own)]
    subprocess.run(made, check=True, capture_output=True)  # noqa: S603 (fixed words, found on the path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own, key)
    return context


async def _silent(line: Line) -> None:
    await line.pause()


# ---- several of them


def one_bad_key(stage: Stage) -> None:
    """Whichever key comes first is the bad one."""
    stage.add_account()
    bad: set[str] = set()

    def play(speaker: Speaker) -> Script:
        async def script(line: Line) -> None:
            key = next((line.request.headers[name] for name in KEYS if name in line.request.headers), "")
            if not bad:
                bad.add(key)
            await (speaker.refuse(401) if key in bad else speaker.answer())(line)

        return script

    stage.play = play


def flaps(stage: Stage) -> None:
    """Down from the first request on, and then up and down in turn."""
    began: list[float] = []

    def play(speaker: Speaker) -> Script:
        async def script(line: Line) -> None:
            began.append(line.request.at)
            down = int((line.request.at - began[0]) / TURN) % 2 == 0
            await (_play("status_503", speaker) if down else speaker.answer())(line)

        return script

    stage.play = play


def outage(stage: Stage) -> None:
    stage.play = stage.others = partial(_play, "status_503")


def silence(stage: Stage) -> None:
    stage.play = stage.others = partial(_play, "hang")


def bad_keys(stage: Stage) -> None:
    stage.play = stage.others = partial(_play, "status_401")


def _play(name: str, speaker: Speaker) -> Script:
    return named(name, speaker).script


# ---- the router itself


def raises(stage: Stage) -> None:
    stage.replace(plugin.RAISES)


def misjudges(stage: Stage) -> None:
    stage.replace(plugin.RAISES_IN_JUDGE)


def store_down(stage: Stage) -> None:
    """A limit makes it ask the store; the store belongs to all of a router, so it has a router of its own."""
    stage.change(limits=(PLENTY,))

    def changed(settings: Settings) -> Settings:
        down = QuotaSettings(plugin=plugin.DOWN, config=plugin.NoConfig(), fail=settings.quota.fail)
        return evolve(settings, quota=down)

    stage.settings = changed
    stage.proof = lambda router: router.engine.quota.state != "ok"


def jump_ahead(stage: Stage) -> None:
    _jump(stage, DAY)


def jump_back(stage: Stage) -> None:
    _jump(stage, -DAY)


def _jump(stage: Stage, seconds: float) -> None:
    """For this process the wall clock jumps while a request waits, as when somebody sets it."""

    def play(speaker: Speaker) -> Script:
        async def script(line: Line) -> None:
            real = time.time
            time.time = lambda: real() + seconds
            await line.pause()

        return script

    stage.play, stage.during = play, set_right


@contextmanager
def set_right() -> Iterator[None]:
    """Afterwards the wall clock tells the time again."""
    real = time.time
    try:
        yield
    finally:
        time.time = real

"""Keys that a login gave: kept for this user alone, and how a configuration refers to them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import LLMRouterError

FOLDER = "credentials"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = ("'", '"')


def in_file(state: Path, provider: str, key: str) -> str:
    """Keep it in the state directory; what is returned stands for it in a configuration."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / provider
    half = folder / f".{provider}.half"
    half.unlink(missing_ok=True)
    _write(half, _checked(key) + "\n", os.O_EXCL)
    half.replace(path)
    return f"file:{path.absolute()}"


def in_dotenv(folder: Path, variable: str, key: str) -> str:
    """Add it to the `.env` of a folder: of several lines for one variable the last counts."""
    if not _VARIABLE.fullmatch(variable):
        raise LLMRouterError(f"{variable!r} is no name of a variable")
    path, key = folder / ".env", _checked(key)
    ended = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    _write(path, f"{'' if ended else chr(10)}{variable}={key}\n", os.O_APPEND)
    return f"${{{variable}}}"


def _write(path: Path, text: str, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _checked(key: str) -> str:
    """A key is one word: another line could say something of its own. Raises LLMRouterError, without the key."""
    if not key.isprintable() or not key or {*key} & {" ", "#", *_QUOTED}:
        raise LLMRouterError("what the provider gave is no key: nothing was kept")
    return key

"""Vocabularies: which models use one, where its ranks lie, and how they are read. Nothing is ever fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen


@frozen(kw_only=True)
class Vocabulary:
    """A byte-pair vocabulary. `models` are the beginnings of the ids of the models that use it."""

    name: str
    url: str  # where its publisher keeps the ranks
    sha256: str  # of the rank file
    pattern: str  # splits a text into the pieces that are encoded one by one
    models: tuple[str, ...]

    @property
    def file_names(self) -> tuple[str, str]:
        """Its own name, and the one that tiktoken gives it in its cache: the SHA-1 of the address."""
        return f"{self.name}.tiktoken", hashlib.sha1(self.url.encode(), usedforsecurity=False).hexdigest()


def bundled() -> tuple[Vocabulary, ...]:
    """The vocabularies of `vocabularies.json`; its facts are those of tiktoken's own registry."""
    data = json.loads(Path(__file__).with_name("vocabularies.json").read_text("utf-8"))
    return tuple(Vocabulary(name=name, **{**one, "models": tuple(one["models"])}) for name, one in data.items())


def beginnings(vocabularies: Iterable[Vocabulary]) -> list[tuple[str, Vocabulary]]:
    """Beginnings of model ids and their vocabularies, the longest first: so the first that fits is right."""
    pairs = [(begin, one) for one in vocabularies for begin in one.models]
    return sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)


def find(vocabulary: Vocabulary, folders: Sequence[Path]) -> Path:
    """The rank file. Raises FileNotFoundError that says where it was looked for."""
    places = [folder / name for folder in folders for name in vocabulary.file_names]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"no {vocabulary.file_names[0]} in {', '.join(sorted({str(p.parent) for p in places}))}"
    )


def read(vocabulary: Vocabulary, path: Path) -> Mapping[bytes, int]:
    """The ranks: tokens as bytes, and their numbers. Raises ValueError for a file that is not the right one."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != vocabulary.sha256:
        raise ValueError(f"{path} is not the published {vocabulary.name} (its SHA-256 differs)")
    pairs = (line.split() for line in data.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}

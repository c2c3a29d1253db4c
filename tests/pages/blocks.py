"""What stands in the project's Markdown: code blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\S*)\s*$")
_TITLE = re.compile(r"^`([^`]+)`:$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@frozen
class Block:
    """A fenced block; `title` is the file it is the content of, where the line before says so."""

    path: Path
    line: int
    language: str
    text: str
    title: str = ""

    @property
    def id(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Everything that is written for readers."""
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*/*/README.md"))]


def blocks(path: Path, *languages: str) -> Iterator[Block]:
    lines = iter(enumerate(path.read_text("utf-8").splitlines(), 1))
    said = ""
    for number, line in lines:
        if found := _FENCE.match(line):
            text = "".join(f"{inner}\n" for inner in _inside(lines))
            title = _TITLE.match(said)
            if not languages or found[1] in languages:
                yield Block(path, number, found[1], text, title[1] if title else "")
        said = line or said


def _inside(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line == "```":
            return
        yield line


def prose(path: Path) -> str:
    """A document without its blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(path: Path) -> Iterator[str]:
    """Links to other files of the project, and to headings."""
    for target in _LINK.findall(prose(path)):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(path: Path) -> set[str]:
    """What the headings of a document are linked to by."""
    heads = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

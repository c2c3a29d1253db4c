"""Keeps the files of the kind that was asked for: `dialect.x.py` becomes `x.py`, or goes."""

from pathlib import Path

KIND = {{ cookiecutter.kind | tojson }}

for path in sorted(Path().rglob("*.*")):
    kind, _, name = path.name.partition(".")
    if kind == KIND and path.is_file():
        path.rename(path.with_name(name))
    elif kind in ("profile", "dialect") and path.is_file():
        path.unlink()

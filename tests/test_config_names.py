from __future__ import annotations

from pathlib import Path

import pytest

from tests.configs import MINIMAL, told


@pytest.mark.parametrize("kind", ["groups", "aliases"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ('""', '[""]: a name may not be empty'),
        ('"  "', '["  "]: a name may not be empty'),
        (r'"a\nb"', r'["a\nb"]: a name may not hold control characters'),
        (r'"a\e[1m"', r'["a\u001b[1m"]: a name may not hold control characters'),
        (r'"a\u2028"', "a name may not hold control characters"),
        ("auto", ".auto: cannot be a name of yours: “auto” and “auto/…” are the router's own"),
        ("auto/coding", '["auto/coding"]: cannot be a name of yours'),
        ("acme/y", '["acme/y"]: would hide a model of the provider “acme”: choose a name'),
        ("acme/", '["acme/"]: would hide a model of the provider “acme”'),
    ],
)
def test_a_name_that_hides_another_or_cannot_be_asked_for_is_refused(
    tmp_path: Path, kind: str, name: str, problem: str
) -> None:
    target = "[acme/x]" if kind == "groups" else "acme/x"
    found = told(tmp_path, f"{MINIMAL}{kind}:\n  {name}: {target}\n")
    assert len(found) == 1, found
    assert found[0].startswith("3:3 ")
    assert problem in found[0]


@pytest.mark.parametrize("kind", ["groups", "aliases"])
@pytest.mark.parametrize("name", ["acme", "automatic", "other/y", "my model", "größer", "a:b", "x.y"])
def test_other_names_are_free(tmp_path: Path, kind: str, name: str) -> None:
    target = "[acme/x]" if kind == "groups" else "acme/x"
    assert told(tmp_path, f"{MINIMAL}{kind}:\n  {name!r}: {target}\n") == []

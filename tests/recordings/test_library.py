"""Recordings that are not there are a reason to skip, unless they must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import library


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "FOLDER", tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_without_recordings_their_tests_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="not beside this checkout"):
        library.require()


@pytest.mark.usefixtures("nowhere")
def test_where_they_are_required_their_absence_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="not beside this checkout"):
        library.require()

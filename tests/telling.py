"""A pytest plugin: with `tell`, a test says what it counted, and all that was said stands below the results.

It goes with the report of its test, and so comes from other processes, too; in JUnit's file it is a property.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

Tell = Callable[[str], None]

TOLD = "told"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    return partial(record_property, TOLD)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        one for kind in terminalreporter.stats.values() for one in kind if getattr(one, "when", "") == "call"
    ]
    told = [
        line
        for report in sorted(reports, key=lambda one: str(one.nodeid))
        for name, line in report.user_properties
        if name == TOLD
    ]
    if told:
        terminalreporter.section("what was counted")
    for line in told:
        terminalreporter.write_line(line)

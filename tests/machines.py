"""Runs state machines: the same histories every time."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def prove(machine: type[RuleBasedStateMachine], examples: int = 100, *, quick: bool = False) -> None:
    """Run a machine. `quick` is content with the first fault as it was found."""
    phases = [Phase.generate] if quick else [Phase.generate, Phase.shrink]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            phases=phases,
            report_multiple_bugs=False,
        ),
    )

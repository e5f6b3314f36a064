"""Limits in real runs: time, budgets, what is told and to whom."""

import json
from pathlib import Path

import pytest
from stream import check_stream, only
from wrapper import Wrapper, alive, until

TOKENS = "echo 'Token usage: 50 input, 40 output'"


def test_timeout_is_124_also_for_a_child_that_does_not_end_of_itself(wrapper: Wrapper) -> None:
    gentle = wrapper.run(["sh", "-c", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done"], "--timeout", "0.3")
    assert (gentle.code, gentle.out) == (124, b"bye\n")
    deaf = wrapper.run(["sh", "-c", "trap '' TERM; sleep 60"], "--timeout", "0.2", "--grace", "0.2")
    assert deaf.code == 124
    assert b"SIGKILL" in deaf.err


def test_a_timeout_ends_what_the_child_started_too(wrapper: Wrapper, tmp_path: Path) -> None:
    command = "sh -c 'echo $$ > pid; sleep 60; true'; true"
    assert wrapper.run(["sh", "-c", command], "--timeout", "0.4", cwd=tmp_path).code == 124
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not alive(pid), "the grandchild's end")


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_a_used_up_budget_stops_the_run(wrapper: Wrapper, action: str, tmp_path: Path) -> None:
    told = tmp_path / "alert.json"
    options = ["--budget-tokens", "100", "--on-budget", action, "--on-alert", f"cat >> {told}"]
    result = wrapper.run(["sh", "-c", f"{TOKENS}; {TOKENS}; sleep 60"], *options)
    assert result.code == 123
    assert b"budget-tokens is reached: 180 of 100" in result.err
    events = check_stream(wrapper.run_log())
    assert [(a["rule"], a["severity"], a["action"]) for a in only(events, "alert")] == [
        ("budget-tokens", "critical", action)
    ]
    until(lambda: told.exists() and told.read_text().endswith("\n"), "the alert command")
    assert json.loads(told.read_text())["value"] == 180


def test_a_budget_may_only_warn(wrapper: Wrapper) -> None:
    result = wrapper.run(["sh", "-c", f"{TOKENS}; {TOKENS}; exit 3"], "--budget-tokens", "100", "--on-budget", "warn")
    assert (result.code, result.err.count(b"\n")) == (3, 1)


def test_the_day_counts_the_teams_other_runs(wrapper: Wrapper, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[[price]]\nmodel = 'm'\ninput = 10000\noutput = 0\n")
    call = 'echo \'{"model": "m", "usage": {"input_tokens": 70, "output_tokens": 1}}\''
    options = ["--prices", str(prices), "--daily-budget", "1", "--team", "a"]
    assert wrapper.run(["sh", "-c", call], *options).code == 0
    assert wrapper.run(["sh", "-c", f"{call}; sleep 60"], *options).code == 123
    options[-1] = "b"
    assert wrapper.run(["sh", "-c", call], *options).code == 0


def test_quiet_is_quiet(wrapper: Wrapper) -> None:
    result = wrapper.run(["sleep", "60"], "-q", "--timeout", "0.2")
    assert (result.code, result.err) == (124, b"")

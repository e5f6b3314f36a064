"""Limits in real runs: time, budgets, what is told and to whom."""

import json
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from stream import check_stream, messages, only
from wrapper import Wrapper, communicate, python, read_until, until

USAGE = "Token usage: 50 input, 40 output\\n"
TOKENS = f"printf '{USAGE}{USAGE}'"  # in one piece: half of it would be worth a warning


def test_timeout_is_124_also_for_a_child_that_does_not_end_of_itself(wrapper: Wrapper) -> None:
    """What the children make of SIGTERM they have from us: they need not be fast."""
    gentle = wrapper.run(
        python("import signal; signal.sigwait([15]); print('bye')"), "--timeout", "0.3", "--grace", "1h",
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    )  # fmt: skip
    assert (gentle.code, gentle.out) == (124, b"bye\n")
    deaf = wrapper.run(
        ["sleep", "600"], "--timeout", "0.2", "--grace", "0.2",
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    )  # fmt: skip
    assert deaf.code == 124
    assert b"SIGKILL" in deaf.err


def test_a_timeout_ends_what_the_child_started_too(wrapper: Wrapper) -> None:
    """What was left would hold the output open."""
    result = wrapper.run(["sh", "-c", "sh -c 'echo here; sleep 600; true'; true"], "--timeout", "1.5")
    assert (result.code, result.out) in ((124, b"here\n"), (124, b""))  # at an end before it had begun


def test_a_budget_ends_what_the_child_started_too(wrapper: Wrapper) -> None:
    result = wrapper.run(["sh", "-c", f'sh -c "{TOKENS}; exec sleep 600"; true'], "--budget-tokens", "100")
    assert (result.code, result.out.count(b"\n")) == (123, 2)


def test_times_beyond_what_poll_takes(wrapper: Wrapper) -> None:
    options = ["--timeout", "1000h", "--grace", "1000h", "--stall", "1000h", "--interval", "1000h"]
    result = wrapper.run(["sh", "-c", "echo before; sleep 0.3; echo after; exit 3"], *options)
    assert (result.code, result.out, result.err) == (3, b"before\nafter\n", b"")
    assert messages(check_stream(wrapper.run_log())) == ["before", "after"]


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_a_used_up_budget_stops_the_run(wrapper: Wrapper, action: str, tmp_path: Path) -> None:
    told = tmp_path / "alert.json"
    options = ["--budget-tokens", "100", "--on-budget", action, "--on-alert", f"cat >> {told}"]
    result = wrapper.run(["sh", "-c", f"{TOKENS}; sleep 600"], *options)
    assert result.code == 123
    assert b"budget-tokens is reached: 180 of 100" in result.err
    events = check_stream(wrapper.run_log())
    assert [(a["rule"], a["severity"], a["action"]) for a in only(events, "alert")] == [
        ("budget-tokens", "critical", action)
    ]
    until(lambda: told.exists() and told.read_text().endswith("\n"), "the alert command")
    assert json.loads(told.read_text())["value"] == 180


def test_a_budget_may_only_warn(wrapper: Wrapper) -> None:
    command = ["sh", "-c", f"{TOKENS}; read line; exit 3"]
    options = ["--budget-tokens", "100", "--on-budget", "warn"]
    process = wrapper.start(command, *options, stdin=PIPE, stdout=DEVNULL, stderr=PIPE)
    assert process.stderr
    told = read_until(process.stderr.fileno(), b"\n")
    _, err = communicate(process, b"\n")
    assert (process.returncode, (told + err).count(b"\n")) == (3, 1)


@pytest.fixture
def noon(wrapper: Wrapper) -> None:
    """The day of a run is the local one: ours ends in about twelve hours."""
    wrapper.env["TZ"] = f"NOON{time.gmtime().tm_hour - 12:+d}"


@pytest.mark.usefixtures("noon")
def test_the_day_counts_the_teams_other_runs(wrapper: Wrapper, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[[price]]\nmodel = 'm'\ninput = 10000\noutput = 0\n")
    call = 'echo \'{"model": "m", "usage": {"input_tokens": 70, "output_tokens": 1}}\''
    options = ["--prices", str(prices), "--daily-budget", "1", "--team", "a"]
    assert wrapper.run(["sh", "-c", call], *options).code == 0
    assert wrapper.run(["sh", "-c", f"{call}; sleep 600"], *options).code == 123
    options[-1] = "b"
    assert wrapper.run(["sh", "-c", call], *options).code == 0


def test_quiet_is_quiet(wrapper: Wrapper) -> None:
    result = wrapper.run(["sleep", "600"], "-q", "--timeout", "0.2")
    assert (result.code, result.err) == (124, b"")


@pytest.mark.parametrize(
    "child",
    [
        """import os; open(os.environ["AGENTMON_SDK_FILE"], "a").write('{"id":"x","status":200,"usage":'"""
        """'{"input_tokens":90,"output_tokens":90}}\\\\n')""",
        """print('{\\\\n"usage": {"input_tokens": 90,\\\\n"output_tokens": 90}}', end="")""",
    ],
    ids=["by the hook", "in a document whose last line has no end"],
)
def test_what_only_the_end_tells_is_an_alert_too(wrapper: Wrapper, child: str) -> None:
    """The command is over by then: nothing is stopped, and its exit status stays."""
    child = child.replace("\\\\", "\\")
    result = wrapper.run([sys.executable, "-c", f"{child}; raise SystemExit(3)"], "--budget-tokens", "100")
    assert result.code == 3
    assert result.err == b"agentmon: budget-tokens is reached: 180 of 100\n" or result.late
    alerts = only(check_stream(wrapper.run_log()), "alert")
    assert [(a["rule"], a["severity"], a["action"]) for a in alerts] == [("budget-tokens", "critical", "warn")]


@pytest.mark.usefixtures("noon")
def test_the_day_is_summed_up_whatever_stands_in_other_logs(wrapper: Wrapper, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[[price]]\nmodel = 'm'\ninput = 10000\noutput = 0\n")
    call = 'echo \'{"model": "m", "usage": {"input_tokens": 70, "output_tokens": 1}}\''
    options = ["--prices", str(prices), "--daily-budget", "1"]
    assert wrapper.run(["sh", "-c", call], *options).code == 0
    told = next(line for line in wrapper.run_log().splitlines(keepends=True) if b'"llm_call"' in line)
    odd = [told.replace(b'"cost_usd":0.7', b'"cost_usd":' + value) for value in (b'"much"', b"[]", b"1e999")]
    odd += [
        told[:-40] + b"\n",
        told.replace(b'"timestamp":', b'"timestamp":"now","x":'),
        b"\xff" + told,
        b'"llm_call"\n',
    ]
    (wrapper.state / "agentmon" / "runs" / "odd.ndjson").write_bytes(b"".join(odd))
    result = wrapper.run(["sh", "-c", f"{call}; sleep 600"], *options)
    assert (result.code, result.err) == (123, b"agentmon: daily-budget is reached: 1.4 of 1\n")

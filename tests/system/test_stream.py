"""The stream of a real run: what is in it, in which order, and what the options change."""

import os
import re
import signal
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from stream import check_stream, messages, only, state_of
from wrapper import Wrapper, communicate, exit_code, python, until

TOKEN = "ghp_" + "a1B2" * 9


def test_a_run_that_succeeds(wrapper: Wrapper, tmp_path: Path) -> None:
    wrapper.run(
        ["sh", "-c", "echo out; echo err >&2"],
        "--team",
        "t",
        "--agent",
        "a",
        "--label",
        "k=v",
        "--label",
        "x==y",
        "--run-id",
        "r",
        cwd=tmp_path,
    )
    events = check_stream(wrapper.run_log())
    assert {(e["run_id"], e["team_id"], e["agent_id"]) for e in events} == {("r", "t", "a")}
    assert [state_of(e) for e in events if state_of(e)] == ["started", "running", "stopped"]
    started, running, end = only(events, "lifecycle")
    assert started["argv"] == ["sh", "-c", "echo out; echo err >&2"]
    assert (started["cwd"], started["host"], started["labels"]) == (
        str(tmp_path),
        os.uname().nodename,
        {"k": "v", "x": "=y"},
    )
    assert started["pid"] == running["pid"] == end["pid"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", started["version"])
    assert (end["exit_code"], end.get("signal")) == (0, None)
    assert end["duration_s"] > 0
    assert end["cpu_time_s"] >= 0
    assert end["sources"] == {name: {"bytes": 4, "lines": 1, "lost_bytes": 0} for name in ("stdout", "stderr")}


@pytest.mark.parametrize(("command", "code", "name"), [("exit 7", 7, None), ("kill -TERM $$", 143, "SIGTERM")])
def test_a_run_that_fails(wrapper: Wrapper, command: str, code: int, name: str | None) -> None:
    wrapper.run(["sh", "-c", command])
    end = only(check_stream(wrapper.run_log()), "lifecycle")[-1]
    assert (end["state"], end["exit_code"], end.get("signal")) == ("error", code, name)


def test_log_entries(wrapper: Wrapper) -> None:
    code = (
        "import os\n"
        "for fd, line in ((1, 'plain'), (2, '2025-01-02 03:04:05 - crew - ERROR - it broke'), (1, 'WARNING: careful'),"
        " (2, 'all is well'),"
        " (1, 'Token usage: 1,200 input, 34 output'), (1, 'no end')):\n"
        " os.write(fd, (line + '\\n' * (line != 'no end')).encode())"
    )
    wrapper.run(python(code))
    events = check_stream(wrapper.run_log())
    entries = only(events, "log_entry")
    assert sorted((e["stream"], e["level"], e["source"], e["message"]) for e in entries) == [
        ("stderr", "error", "orchestrator", "2025-01-02 03:04:05 - crew - ERROR - it broke"),
        ("stderr", "info", "orchestrator", "all is well"),
        ("stdout", "info", "llm", "Token usage: 1,200 input, 34 output"),
        ("stdout", "info", "orchestrator", "no end"),
        ("stdout", "info", "orchestrator", "plain"),
        ("stdout", "warning", "orchestrator", "WARNING: careful"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", e["timestamp"]) for e in entries)
    (usage,) = only(events, "llm_call")
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"], usage["cost_usd"]) == (
        1200,
        34,
        1234,
        None,
    )
    spoken = [e["event"] for e in events if e["event"] in ("log_entry", "llm_call")]
    assert spoken.index("llm_call") > spoken.index("log_entry")


def test_without_log_entries(wrapper: Wrapper) -> None:
    wrapper.run(["sh", "-c", "echo noise; echo 'Token usage: 5 input, 6 output'"], "--no-logs")
    events = check_stream(wrapper.run_log())
    assert messages(events) == []
    assert len(only(events, "llm_call")) == 1


def test_secrets_are_masked(wrapper: Wrapper) -> None:
    command = ["sh", "-c", 'echo "key $1"', "sh", TOKEN]
    assert TOKEN.encode() in wrapper.run(command).out
    assert TOKEN.encode() not in wrapper.run_log()
    assert messages(check_stream(wrapper.run_log())) == ["key [redacted]"]
    wrapper.run_logs()[0].unlink()
    wrapper.run(command, "--no-redact")
    assert messages(check_stream(wrapper.run_log())) == ["key " + TOKEN]


def test_bytes_that_are_no_text_do_no_harm(wrapper: Wrapper) -> None:
    wrapper.run(["echo", b"\xff"], "--team", b"t\xff", "--agent", b"\xfe", "--label", b"k\xff=\xfd")  # type: ignore[arg-type]
    events = check_stream(wrapper.run_log())
    assert events[0]["team_id"] == "t\ufffd"
    assert messages(events) == ["\ufffd"]


def test_a_default_agent_name(wrapper: Wrapper, tmp_path: Path) -> None:
    (tmp_path / "crew.py").write_text("print('hi')")
    wrapper.run([*python("")[:1], "crew.py"], cwd=tmp_path)
    assert {e["agent_id"] for e in check_stream(wrapper.run_log())} == {"crew.py"}


BAD = [
    ["--interval", "0.01"], ["--interval", "-1"], ["--interval", "10ms"],
    ["--interval", "nan"], ["--interval", "inf"], ["--interval", "soon"], ["--label", "no-equals"],
    ["--label", "=v"], ["--pty", "maybe"], ["--no-such-option"], ["--run-id", "a/b"], ["--run-id", ".hidden"],
]  # fmt: skip


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_options_are_refused_before_anything_starts(wrapper: Wrapper, tmp_path: Path, words: list[str]) -> None:
    result = wrapper.run(["touch", "ran"], *words, cwd=tmp_path)
    assert (result.code, result.out, (tmp_path / "ran").exists()) == (125, b"", False)
    assert re.fullmatch(rb"agentmon: [^\n]+\n", result.err)
    assert not wrapper.run_logs()


# ------------------------------------------------------------------ metrics


def test_a_short_run_has_numbers(wrapper: Wrapper) -> None:
    """Also one that ends long before the first interval is over."""
    process = wrapper.start(["cat"], "--interval", "1h", stdin=PIPE, stdout=DEVNULL)
    until(lambda: b"metrics_update" in b"".join(log.read_bytes() for log in wrapper.run_logs()))
    communicate(process)
    first, last = only(check_stream(wrapper.run_log()), "metrics_update")
    assert first["memory_mb"] > 0
    assert (first["threads"], first["tree"]["processes"], first["tree"]["threads"]) == (1, 1, 1)
    assert first["status"] in ("sleeping", "running", "disk-sleep")
    assert (last["status"], last["tree"]["processes"], last["threads"]) == ("dead", 0, None)


def test_metrics_at_every_interval(wrapper: Wrapper) -> None:
    process = wrapper.start(["cat"], "--interval", "50ms", stdin=PIPE, stdout=DEVNULL)
    until(lambda: b"".join(log.read_bytes() for log in wrapper.run_logs()).count(b"metrics_update") > 4)
    communicate(process)
    check_stream(wrapper.run_log())


def test_cpu_time_of_grandchildren_that_came_and_went(wrapper: Wrapper) -> None:
    """Processes that live shorter than an interval are in the sums of the tree, each second of theirs once."""
    burn = "import time\nwhile time.process_time() < 0.08: pass"
    code = (
        "import os, sys, time\n"
        "for i in range(6):\n"
        f" pid = os.posix_spawn(sys.executable, [sys.executable, '-I', '-S', '-c', {burn!r}], os.environ)\n"
        " os.waitpid(pid, 0)\n"
        "print('done', flush=True); sys.stdin.read()"
    )
    process = wrapper.start(python(code), "--interval", "0.15", stdin=PIPE, stdout=DEVNULL)
    until(lambda: b'"done"' in b"".join(log.read_bytes() for log in wrapper.run_logs()))
    seen = wrapper.run_log().count(b"metrics_update")
    until(lambda: wrapper.run_log().count(b"metrics_update") > seen + 1)  # one that knows all of it
    communicate(process)
    events = check_stream(wrapper.run_log())
    told = only(events, "lifecycle")[-1]["cpu_time_s"]
    sums = [m["tree"]["cpu_time_s"] for m in only(events, "metrics_update")]
    assert told >= 0.48
    assert sums == sorted(sums)
    assert abs(sums[-2] - told) < 0.15  # the kernel counts what has ended in whole ticks
    assert abs(sums[-1] - told) < 0.15


def test_several_processes(wrapper: Wrapper) -> None:
    process = wrapper.start(
        ["sh", "-c", "sleep 600 & sleep 600 & cat; kill %1 %2"], "--interval", "50ms", stdin=PIPE, stdout=DEVNULL
    )
    until(lambda: b'"processes":4' in b"".join(log.read_bytes() for log in wrapper.run_logs()))
    communicate(process)
    fullest = max(only(check_stream(wrapper.run_log()), "metrics_update"), key=lambda m: m["tree"]["processes"])
    assert (fullest["threads"], fullest["tree"]["threads"]) == (1, 4)
    assert fullest["tree"]["memory_mb"] > 0


def test_a_signal_that_we_pass_on_is_in_the_stream(wrapper: Wrapper) -> None:
    process = wrapper.start(["sleep", "600"], stdin=DEVNULL)
    until(lambda: b"running" in b"".join(log.read_bytes() for log in wrapper.run_logs()))
    process.send_signal(signal.SIGTERM)
    assert exit_code(process) == 143
    assert only(check_stream(wrapper.run_log()), "lifecycle")[-1]["signal"] == "SIGTERM"

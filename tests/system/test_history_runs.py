"""`agentmon history` over real runs: those that end, are killed, or go on; and many readers at once."""

import ctypes
import json
import os
import sys
import time
from subprocess import DEVNULL, PIPE, Popen

import pytest
from run_logs import Log
from wrapper import WAIT_S, Wrapper, collector, communicate, exit_code, kill, python, until

from agentmon.runs import is_written

WAITS = python("print('up', flush=True); input()")


def history(wrapper: Wrapper, *words: str, code: int = 0, err: str | None = "", **popen) -> str:
    process = agentmon(wrapper, "history", *words, **popen)
    out, said = communicate(process)
    assert (exit_code(process), said.decode() if err is not None else None) == (code, err), said
    return out.decode()


def agentmon(wrapper: Wrapper, *words: str, **popen) -> Popen[bytes]:
    argv = [sys.executable, "-m", "agentmon", *words]
    return Popen(argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=wrapper.env, **popen)


def runs(wrapper: Wrapper, *words: str) -> dict[str, dict]:
    return {row["run_id"]: row for row in json.loads(history(wrapper, "--json", *words))}


def obey_modes() -> None:
    """Even as root: without CAP_DAC_OVERRIDE in the bounding set."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_a_run_agrees_with_its_report(wrapper):
    result = wrapper.run([sys.executable, "-m", "agentmon.demo"], "--run-id", "one", "--label", "k=v", "--team", "t")
    assert result.code == 0
    row = runs(wrapper, "--label", "k=v", "--exit", "ok")["one"]
    out, _ = agentmon(wrapper, "report", "--json", "one").communicate()
    told = json.loads(out)
    for name in ("input_tokens", "output_tokens", "total_tokens", "cost_usd", "calls", "calls_unknown"):
        assert row[name] == told["token_usage"][name], name
    assert row["git"] == told["git_operations"]
    assert (row["state"], row["exit_code"], row["team_id"]) == ("stopped", 0, "t")
    (model,) = json.loads(history(wrapper, "--by", "model", "--json"))
    assert model["total_tokens"] == told["token_usage"]["total_tokens"]
    assert runs(wrapper, "--label", "k=w") == {}


def test_running_and_killed(wrapper):
    going = wrapper.start(WAITS, "--run-id", "going", stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    killed = wrapper.start(WAITS, "--run-id", "killed", stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    crashed = wrapper.start(WAITS, "--run-id", "crashed", stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    for process in (going, killed, crashed):
        assert process.stdout.readline() == b"up\n"
    until(lambda: {name: row["state"] for name, row in runs(wrapper).items()} == {
        "going": "running", "killed": "running", "crashed": "running"})  # fmt: skip
    kill(collector("crashed"))
    killed.kill()
    until(lambda: runs(wrapper, "--exit", "failed").keys() == {"killed", "crashed"}, "both lost")
    assert {row["state"] for row in runs(wrapper, "--exit", "failed").values()} == {"lost"}
    communicate(going, b"\n")
    assert runs(wrapper, "--exit", "0")["going"]["state"] == "stopped"


def test_many_runs_end_while_many_read(wrapper):
    """50 runs end at the same moment, with ten readers at it; then each reader knows all of them."""
    folder = wrapper.state / "agentmon" / "runs"
    logs = [Log(folder / f"r{number:02}.ndjson") for number in range(50)]
    for log in logs:
        log.started()
        log.called()
    readers = [agentmon(wrapper, "history", "--json") for _ in range(10)]
    for log in logs:
        log.called()
        log.committed()
        log.ended()
        log.release()
    while_ending = [reader.communicate(timeout=WAIT_S) for reader in readers]
    assert [err for _, err in while_ending] == [b""] * 10
    assert {len(json.loads(out)) for out, _ in while_ending} == {50}
    readers = [agentmon(wrapper, "history", "--json") for _ in range(10)]
    for reader in readers:
        out, err = reader.communicate(timeout=WAIT_S)
        assert err == b""
        rows = json.loads(out)
        assert len(rows) == 50
        assert {(row["state"], row["total_tokens"], row["commits"]) for row in rows} == {("stopped", 2400, 1)}


def test_a_read_only_state_directory_still_answers(wrapper):
    wrapper.run(python("print(1)"), "--run-id", "one")
    state = wrapper.state / "agentmon"
    state.chmod(0o500)
    process = agentmon(wrapper, "history", "--json", preexec_fn=obey_modes)
    out, err = communicate(process)
    state.chmod(0o700)
    assert [row["run_id"] for row in json.loads(out)] == ["one"]
    assert b"cannot be written" in err
    assert err.count(b"\n") == 1
    assert not (state / "history.sqlite3").exists()


def test_rebuild_after_damage(wrapper):
    wrapper.run(python("print(1)"), "--run-id", "one")
    assert "one" in history(wrapper)
    path = wrapper.state / "agentmon" / "history.sqlite3"
    path.write_bytes(b"x" * 4096)
    process = agentmon(wrapper, "history")
    _, err = process.communicate()
    assert (exit_code(process), err.count(b"\n")) == (125, 1)
    assert b"agentmon history rebuild" in err
    assert "1 runs in the history" in history(wrapper, "rebuild", err=None)
    assert path.with_name("history.sqlite3.damaged").read_bytes() == b"x" * 4096
    assert list(runs(wrapper)) == ["one"]


def test_prune_says_first_and_never_takes_what_is_written(wrapper):
    going = wrapper.start(WAITS, "--run-id", "going", stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert going.stdout.readline() == b"up\n"
    wrapper.run(python("print(1)"), "--run-id", "old")
    (old,) = [log for log in wrapper.run_logs() if log.stem == "old"]
    until(lambda: not is_written(old), "the end of a collector")
    for log in wrapper.run_logs():
        os.utime(log, (time.time() - 2 * 86400,) * 2)  # what is over 30 days old, `run` itself removes
    said = history(wrapper, "prune", "--older-than", "1d")
    assert "old" in said
    assert "going" not in said
    assert "would go: 1 run" in said
    assert len(wrapper.run_logs()) == 2
    assert "removed: 1 run" in history(wrapper, "prune", "--older-than", "1d", "--yes")
    assert [log.stem for log in wrapper.run_logs()] == ["going"]
    assert runs(wrapper).keys() == {"going", "old"}
    communicate(going, b"\n")


@pytest.mark.parametrize(
    "words", [("--exit", "x"), ("--json", "--csv"), ("--by", "x"), ("prune",), ("--since", "x"), ("--label", "k")]
)
def test_what_a_person_got_wrong(wrapper, words):
    process = agentmon(wrapper, "history", *words)
    out, err = process.communicate()
    assert (exit_code(process), out, err.count(b"\n")) == (125, b"", 1)
    assert err.startswith(b"agentmon: ")

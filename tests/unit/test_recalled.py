"""The report of a run whose log is gone; and which logs may go."""

import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from report_logs import metrics
from run_logs import START, Log

from agentmon import index, indexing, runs
from agentmon.cli import agentmon
from agentmon.events import Alert, Lifecycle

DAY = 86400.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run logs of an empty state directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "_COARSE_S", 0.0)
    return tmp_path / "agentmon" / "runs"


def ran(folder: Path, name: str, minutes: int = 5) -> Log:
    """A run of some minutes, over."""
    log = Log(folder / f"{name}.ndjson")
    log.started()
    for minute in range(minutes):
        log.now = START + 60 * minute + 10
        log.write(metrics(10.0 * (minute + 1), 100.0 + minute))
        log.called(agent="planner" if minute % 2 else None)
    log.committed()
    log.said("no", "error")
    log.write(Alert("max-memory", "warning", 9.0, 8.0, "none"))
    log.write(Lifecycle("stopped", pid=7, exit_code=0, duration_s=60.0 * minutes, cpu_time_s=3.0))
    log.release()
    return log


def indexed() -> None:
    said: list[str] = []
    with closing(index.open_index(said.append)) as opened:
        indexing.bring_up_to_date(opened, said.append)
    assert said == []


def report(*words: str) -> tuple[str, str]:
    done = CliRunner().invoke(agentmon, ["report", *words], standalone_mode=False, catch_exceptions=False)
    return done.stdout, done.stderr


def test_its_figures_are_those_that_the_log_had(folder):
    log = ran(folder, "one")
    told = json.loads(report("one", "--json")[0])
    indexed()
    log.path.unlink()
    kept, err = json.loads(report("on", "--json")[0]), report("on", "--json")[1]
    assert "one: its log is gone" in err
    assert err.count("\n") == 1
    assert kept["from_history"] is True
    assert [row["cpu_max"] for row in kept["minutes"]] == [10.0, 20.0, 30.0, 40.0, 50.0]
    for name in ("token_usage", "usage_by_agent", "git_operations", "run_id", "team_id", "last_updated"):
        assert kept[name] == told[name], name
    assert kept["lifecycle"]["exit_code"] == 0
    assert "from_history" not in told


@pytest.mark.parametrize("form", [(), ("--md",), ("--html", "-")])
def test_every_form_says_that_the_log_is_gone(folder, form):
    log = ran(folder, "one")
    indexed()
    log.path.unlink()
    text = report("one", *form)[0]
    for part in ("gone", "history", "peak 50 %", "peak 104 MiB", "planner", "claude-sonnet-4-5", "1 alert", "1 commit"):
        assert part in text, part


def test_the_curve_has_each_minute(folder):
    log = ran(folder, "one", minutes=4)
    indexed()
    log.path.unlink()
    plot = report("one")[0].split("CPU")[2].split("Memory")[0].splitlines()[1:5]
    heights = [sum(line[column : column + 1] not in (" ", "") for line in plot) for column in range(12, 75)]
    assert heights == sorted(heights)
    assert set(heights) == {1, 2, 3, 4}


def test_the_newest_and_what_nobody_knows(folder):
    with pytest.raises(runs.NoSuchRun, match="no run yet"):
        report()
    ran(folder, "one").path.rename(folder / "one.moved")
    with pytest.raises(runs.NoSuchRun, match="no such run"):
        report("one")
    (folder / "one.moved").rename(folder / "one.ndjson")
    ran(folder, "onetwo")
    indexed()
    for log in folder.iterdir():
        log.unlink()
    with pytest.raises(Exception, match="several runs"):
        report("on")
    assert json.loads(report("one", "--json")[0])["run_id"] == "one"
    assert json.loads(report("--json")[0])["run_id"] == "onetwo"
    with pytest.raises(runs.NoSuchRun):
        report("three")


def aged(log: Log, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(log.path, (then, then))


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_a_log_that_the_history_does_not_have_is_spared(folder):
    aged(ran(folder, "known"), 40)
    indexed()
    aged(ran(folder, "unknown"), 31)  # as one that was copied here, with its old time
    runs.prune()
    assert names(folder) == {"unknown"}
    indexed()
    runs.prune()
    assert names(folder) == set()


def test_without_a_history_the_oldest_go_once_all_take_too_much(folder):
    logs = {name: ran(folder, name) for name in ("old", "older", "oldest", "young")}
    size = logs["old"].path.stat().st_size
    for name, days in (("old", 31), ("older", 32), ("oldest", 33)):
        aged(logs[name], days)
    runs.prune()
    assert names(folder) == set(logs)
    runs.prune(spared_bytes=5 * size // 2)
    assert names(folder) == {"young", "old", "older"}
    runs.prune(spared_bytes=0)
    assert names(folder) == {"young"}


def test_made_names_tell_their_age(folder):
    """A young name is not looked at; an old one is, and only its last change counts."""
    fresh, ancient = runs.new_run_id(), "20200101T000000000Z-00000000"
    aged(ran(folder, fresh), 99)
    aged(ran(folder, ancient), 99)
    runs.prune(spared_bytes=0)
    assert names(folder) == {fresh}
    os.utime(ran(folder, ancient).path)
    runs.prune(spared_bytes=0)
    assert names(folder) == {fresh, ancient}


@pytest.mark.parametrize("fault", ["no history", "a clock that was ahead"])
def test_a_mark_that_says_nothing(folder, fault):
    aged(ran(folder, "old"), 40)
    indexed()
    if fault == "no history":
        os.unlink(runs.history_path())
    else:
        ahead = time.time() + 1e6
        os.utime(folder.parent / "history.mark", (ahead, ahead))
    runs.prune()
    assert names(folder) == {"old"}
    indexed()
    runs.prune()
    assert names(folder) == set()


@pytest.mark.parametrize("at", [b"1.7e308", b"1e300", b"-1.7e308", b"1e15"])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("form", [[], ["--json"], ["--md"], ["--html", "-"]])
def test_times_that_are_none(folder, at, place, form):
    log = ran(folder, "one")
    lines = log.path.read_bytes().splitlines()
    head, _, _ = lines[place].rpartition(b":")
    lines[place] = head + b":" + at + b"}"
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    indexed()
    log.path.unlink()
    text, said = report("one", *form)
    assert text
    assert "gone" in said

"""The index: what of the run logs is entered, and what happens to it when files are not what they should be."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from run_logs import START, Log
from wrapper import until

from agentmon import digest, index, index_query, indexing, pruning, replay, runs
from agentmon.errors import AgentmonError
from agentmon.events import Gap, Lifecycle, TokenUsage
from agentmon.index_query import Wanted


class History:
    """The index of a state directory, as a command sees it."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "agentmon" / "runs"
        self.path = folder / "agentmon" / "history.sqlite3"
        self.said: list[str] = []

    def log(self, name: str, team: str = "blue", agent: str = "crew") -> Log:
        return Log(self.runs / f"{name}.ndjson", team=team, agent=agent)

    def finished(self, name: str, code: int = 0, team: str = "blue", calls: int = 1) -> Log:
        log = self.log(name, team)
        log.started()
        log.used()
        for _ in range(calls):
            log.called()
        log.committed()
        log.said("done")
        log.ended(code)
        log.release()
        return log

    def open(self) -> index.Index:
        opened = index.open_index(self.said.append)
        with index.faults(opened.path):
            indexing.bring_up_to_date(opened, self.said.append)
        return opened

    def rows(self, **wanted) -> list[dict]:
        with closing(self.open()) as opened:
            return index_query.runs(opened, Wanted(**wanted))

    def row(self) -> dict:
        (row,) = self.rows()
        return row

    def minutes(self, name: str) -> list[dict]:
        with closing(self.open()) as opened:
            return index_query.minutes(opened, name)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return History(tmp_path)


def agrees(row: dict, path: Path) -> None:
    state = replay.fold_file(str(path), lambda _: None)
    totals = state.usage.totals()
    for name in ("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cost_usd"):
        assert row[name] == getattr(totals, name), name
    assert (row["calls"], row["git"]) == (state.usage.calls(), state.git_operations)
    assert (row["warnings"], row["errors"]) == (state.log_levels.get("warning", 0), state.log_levels.get("error", 0))


def test_a_finished_run(history):
    log = history.finished("a", calls=2)
    row = history.row()
    assert (row["run_id"], row["state"], row["exit_code"], row["duration_s"]) == ("a", "stopped", 0, 12.0)
    assert (row["agent_id"], row["team_id"], row["argv"]) == ("crew", "blue", ["python", "crew.py"])
    assert (row["input_tokens"], row["cost_usd"], row["commits"]) == (2000, 0.5, 1)
    assert row["started"] == START + 0.5
    agrees(row, log.path)
    (minute,) = history.minutes("a")
    assert (minute["timestamp"], minute["samples"], minute["cpu_percent"], minute["memory_max"]) == (START, 1, 50, 200)
    assert history.path.stat().st_mode & 0o777 == 0o600
    with closing(history.open()) as opened:
        assert opened.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert history.said == []


@pytest.mark.parametrize(("code", "state"), [(0, "stopped"), (3, "error")])
def test_how_it_ended(history, code, state):
    history.finished("a", code)
    assert (history.row()["state"], history.row()["exit_code"]) == (state, code)


def test_going_on_then_lost_then_ended(history):
    log = history.log("a")
    log.started()
    log.called()
    assert history.row()["state"] == "running"
    log.release()
    assert history.row()["state"] == "lost"


def test_a_wrapper_that_was_killed_is_lost(history):
    log = history.log("a")
    log.started()
    log.write(Lifecycle("error", duration_s=3.0, reason="the relay was killed"))
    log.release()
    assert history.row()["state"] == "lost"


def test_only_what_grew_is_read(history, monkeypatch):
    log = history.log("a")
    log.started()
    log.called()
    log.used(10, 100)
    log.said("one", "warning")
    log.raw(b"garbage\n")
    assert history.row()["total_tokens"] == 1200
    read = []
    lines = replay.Fold.take
    monkeypatch.setattr(replay.Fold, "take", lambda self, found: lines(self, read.extend(found := [*found]) or found))
    cut = log.line(TokenUsage("m", 5, 6, 11, source="sdk", call_id="x"))
    log.raw(cut[:40])
    assert history.row()["total_tokens"] == 1200  # a line that is not whole yet
    log.raw(cut[40:])
    read.clear()
    row = history.row()
    assert (row["total_tokens"], row["cost_usd"], row["calls"]) == (1211, 0.25, 2)
    assert b'"log_entry"' not in b"".join(read)
    log.used(30, 300)
    log.said("two", "error")
    log.called()
    log.ended()
    log.release()
    agrees(history.row(), log.path)
    (minute,) = history.minutes("a")
    assert (minute["samples"], minute["cpu_percent"], minute["cpu_max"], minute["memory_max"]) == (2, 20, 30, 300)
    read.clear()
    history.row()
    assert read == []
    assert [text.split(": ")[0] for text in history.said] == [f"{log.path}:5"]  # named once, with its number


def test_running_totals_and_repeats_go_on_across_readings(history):
    log = history.log("a")
    log.started()
    for total in (100, 250, 400):
        log.write(TokenUsage("m", total, 10, total + 10, scope="session", session_id="s", tool="codex"))
        log.write(TokenUsage("m", 7, 1, 8, source="sdk", call_id="same", tool="other"))
        agrees(history.row(), log.path)
    log.ended()
    log.release()
    agrees(history.row(), log.path)


def test_a_last_line_that_is_cut(history):
    log = history.log("a")
    log.started()
    log.called()
    log.raw(log.line(Gap(1, 1, "x"))[:30])
    log.release()
    row = history.row()
    assert (row["state"], row["total_tokens"]) == ("lost", 1200)
    assert "cut short" in history.said[0]


def test_a_newer_version_is_read_and_said(history):
    log = history.log("a")
    log.started()
    log.raw(log.line(Lifecycle("stopped", exit_code=0, duration_s=1.0)).replace(b'"v":1', b'"v":2'))
    log.release()
    assert history.row()["state"] == "stopped"
    assert "version 2" in history.said[0]


def test_an_empty_run(history, monkeypatch):
    log = history.log("a")
    monkeypatch.setattr(digest, "_YOUNG_S", 3600.0)  # as long as a test may be held up
    assert history.rows() == []  # it may be about to be locked
    os.utime(log.path, (START, START))
    assert history.row()["state"] == "running"
    log.release()
    row = history.row()
    assert (row["state"], row["agent_id"], row["input_tokens"], row["started"]) == ("lost", None, None, START)


@pytest.mark.parametrize("how", ["moved", "truncated"])
def test_a_log_that_is_rotated_goes_on(history, how):
    log = history.log("a")
    log.started()
    log.called()
    assert history.row()["calls"] == 1
    if how == "truncated":
        os.truncate(log.path, 0)
        new = log
    else:
        log.path.rename(log.path.with_suffix(".old"))
        new = history.log("a")
        new.seq = log.seq
        log.release()
    new.called()
    assert history.row()["calls"] == 2
    new.ended()
    new.release()
    assert (history.row()["state"], history.row()["calls"]) == ("stopped", 2)


def test_a_log_that_is_another_one_now(history):
    history.finished("a", calls=3)
    assert history.row()["calls"] == 3
    (history.runs / "a.ndjson").unlink()
    history.finished("a", calls=1)
    assert history.row()["calls"] == 1
    assert history.minutes("a")[0]["samples"] == 1


def test_runs_named_by_us(history):
    names = [f"20261122T12000{n}123Z-0000000{n}" for n in range(3)]
    going = history.log(names[2])
    going.started()
    for name in names[:2]:
        history.finished(name)
    assert [row["state"] for row in history.rows()].count("running") == 1
    going.called()
    going.ended()
    going.release()
    again = history.finished(names[0], calls=0)  # another file in its place
    os.replace(again.path, again.path.with_name("new"))
    history.finished(names[0], calls=4)
    assert {row["run_id"]: row["calls"] for row in history.rows()} == {names[0]: 4, names[1]: 1, names[2]: 1}
    with closing(history.open()) as opened:
        indexing.forget(opened, from_scratch=False)
    assert len(history.rows()) == 3


def test_what_is_known_outlives_the_log(history):
    history.finished("a")
    log = history.log("b")
    log.started()
    history.rows()
    log.release()
    for path in history.runs.iterdir():
        path.unlink()
    assert {row["run_id"]: row["state"] for row in history.rows()} == {"a": "stopped", "b": "lost"}
    assert history.minutes("a")
    with closing(history.open()) as opened:
        assert indexing.forget(opened, from_scratch=False) == 2
        assert indexing.forget(opened, from_scratch=True) == 2
    assert history.rows() == []


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_database_is_left_as_it_is(history, content):
    history.finished("a")
    history.path.write_bytes(content)
    with pytest.raises(AgentmonError, match=r"damaged.*nothing was changed.*rebuild"):
        history.rows()
    assert history.path.read_bytes() == content
    kept = index.set_aside(str(history.path))
    assert Path(kept).read_bytes() == content
    assert history.row()["calls"] == 1


def test_damage_further_in(history):
    for number in range(60):
        history.finished(f"r{number:02}")
    history.rows()
    data = bytearray(history.path.read_bytes())
    data[8192:-4096] = b"\xa5" * (len(data) - 12288)
    history.path.write_bytes(data)
    with pytest.raises(AgentmonError, match="damaged"):
        history.rows()
    assert history.path.read_bytes() == data


def test_another_programs_database(history):
    history.path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(history.path)) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(AgentmonError, match="not a history"):
        history.rows()


def test_an_older_form_is_rebuilt_and_keeps_what_has_no_log(history):
    history.finished("a")
    history.finished("b")
    history.rows()
    (history.runs / "a.ndjson").unlink()
    with closing(sqlite3.connect(history.path)) as db:
        db.execute("UPDATE runs SET input_tokens = 1")
        db.execute("ALTER TABLE runs DROP COLUMN reason")
        db.execute("PRAGMA user_version = 0")
        db.commit()
    assert {row["run_id"]: row["input_tokens"] for row in history.rows()} == {"a": 1, "b": 1000}
    assert history.minutes("a")
    assert history.minutes("b")[0]["samples"] == 1


def test_a_newer_form_is_left_alone(history):
    history.finished("a")
    history.rows()
    with closing(sqlite3.connect(history.path)) as db:
        db.execute(f"PRAGMA user_version = {index.SCHEMA + 1}")
    history.finished("b")
    before = history.path.read_bytes()
    assert len(history.rows()) == 2
    assert "newer agentmon" in history.said[-1]
    assert history.path.read_bytes() == before


def test_what_cannot_be_written_is_read_into_memory(history, monkeypatch):
    history.finished("a")
    history.rows()
    (history.runs / "a.ndjson").unlink()
    history.finished("b")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    assert {row["run_id"] for row in history.rows()} == {"a", "b"}
    assert "cannot be written (read-only)" in history.said[-1]
    monkeypatch.undo()
    with closing(sqlite3.connect(history.path)) as db:
        assert db.execute("SELECT name FROM runs").fetchall() == [("a",)]


def test_pruning(history, monkeypatch):
    now = START + 1000 * 86400
    monkeypatch.setattr("time.time", lambda: now)
    for number, name in enumerate("abcd"):
        path = history.finished(name).path
        os.utime(path, (now - (40 - 10 * number) * 86400,) * 2)  # 40, 30, 20 and 10 days old
    written = history.log("w")
    written.started()
    os.utime(written.path, (START, START))
    size = (history.runs / "a.ndjson").stat().st_size
    total = 4 * size + written.path.stat().st_size

    def names(*limits):
        return [old.name for old in pruning.plan(*limits)]

    assert names(25 * 86400, None) == ["a", "b"]
    assert names(None, total) == []
    assert names(None, total - 1) == ["a"]
    assert names(35 * 86400, total - 2 * size) == ["a", "b"]
    assert names(None, 0) == ["a", "b", "c", "d"]
    going = pruning.plan(25 * 86400, None)
    with closing(history.open()) as opened:
        (history.runs / "b.ndjson").write_bytes(b"changed")
        assert [old.name for old in pruning.remove(opened, going, history.said.append)] == ["a"]
    assert "left alone" in history.said[-1]
    assert sorted(path.stem for path in history.runs.iterdir()) == ["b", "c", "d", "w"]
    assert len(history.rows()) == 5
    assert runs.is_written(written.path)


def test_figures_beyond_all_bounds_keep_no_other_run_out(history: History):
    log = history.log("huge")
    log.started()
    for n in range(3):
        log.write(TokenUsage("m", 2**63, 1, 2**63 + 1, 1e308, source="sdk", call_id=f"c{n}"))
    log.write(Gap(2**63, 2**63 + 1, "a flood", stream="stdout"))
    log.ended()
    log.release()
    history.finished("other")
    with closing(history.open()) as opened:
        rows = {row["run_id"]: row for row in index_query.runs(opened, Wanted())}
        assert rows["other"]["input_tokens"] == 1000
        assert rows["huge"]["input_tokens"] >= 2**53
        assert rows["huge"]["output_tokens"] == 3
        (sums,) = index_query.sums(opened, Wanted(), "team")
        assert sums["runs"] == 2
        stamp = opened.db.execute("SELECT inode, mtime_ns FROM runs WHERE name = 'huge'").fetchone()
        seen = os.stat(log.path)
        assert tuple(stamp) == (seen.st_ino, seen.st_mtime_ns)


def test_what_changes_while_no_log_comes_or_goes(history, monkeypatch):
    """Where the folder has not changed since, only what may have grown is looked at, and it is seen."""
    monkeypatch.setattr(runs, "_COARSE_S", 0.0)
    made = "20270101T000000000Z-00000001"
    history.finished(made)
    going, given = history.log("20270102T000000000Z-00000002"), history.finished("given")
    going.started()
    assert {row["run_id"]: row["state"] for row in history.rows()}[going.run_id] == "running"
    assert history.rows() == history.rows()
    scanned = []
    found = indexing._found
    monkeypatch.setattr(indexing, "_found", lambda: scanned.append(1) or found())
    going.called()
    with open(given.path, "ab") as log:
        log.write(given.line(TokenUsage("m", 5, 5, 10, call_id="late", source="sdk")))
    rows = {row["run_id"]: row for row in history.rows()}
    assert (rows[going.run_id]["total_tokens"], rows["given"]["total_tokens"]) == (1200, 1210)
    assert not scanned
    going.ended()
    going.release()
    assert {row["state"] for row in history.rows()} == {"stopped"}
    assert not scanned
    probe = history.path.with_name("probe")  # times of files are those of the kernel's last tick
    until(lambda: probe.write_bytes(b"x") and probe.stat().st_mtime > runs.indexed_at(), "a tick")
    history.finished("20270103T000000000Z-00000003")
    assert len(history.rows()) == 4
    assert scanned


@pytest.mark.parametrize("how", ["forget", "another database"])
def test_a_mark_of_before_is_not_believed(history, monkeypatch, how):
    monkeypatch.setattr(runs, "_COARSE_S", 0.0)
    history.finished("one")
    assert len(history.rows()) == 1
    assert len(history.rows()) == 1
    if how == "forget":
        with closing(history.open()) as opened:
            indexing.forget(opened, True)
            opened.db.execute("DELETE FROM runs")
    else:
        history.path.unlink()
    assert len(history.rows()) == 1


def test_what_lies_among_the_logs_and_is_none(history):
    """Folders, pipes, devices and dangling links hang nobody, and are no runs."""
    history.finished("one")
    (history.runs / "folder.ndjson").mkdir()
    (history.runs / "20270101T000000000Z-00000001.ndjson").mkdir()
    os.mkfifo(history.runs / "pipe.ndjson")
    os.mkfifo(history.runs / "20270101T000000000Z-00000002.ndjson")
    (history.runs / "nowhere.ndjson").symlink_to(history.runs / "none")
    (history.runs / "null.ndjson").symlink_to("/dev/null")
    assert history.row()["run_id"] == "one"
    assert [log.stem for log in runs.all_logs()] == ["one"]
    assert [old.name for old in pruning.plan(-1e9, 0)] in ([], ["one"])
    assert not runs.is_written(history.runs / "pipe.ndjson")
    runs.prune(-1e9)
    assert (history.runs / "pipe.ndjson").exists()


def test_a_locked_database_is_waited_for_and_then_named(history, monkeypatch):
    history.finished("one")
    assert history.row()
    holder = sqlite3.connect(history.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(index, "_BUSY_S", 0.05)
    assert history.row()  # nothing is new: nothing is to be written
    history.finished("two")
    with pytest.raises(AgentmonError, match="in use by another program"):
        history.rows()
    holder.execute("COMMIT")
    assert len(history.rows()) == 2
    holder.close()


def test_clocks_that_jump(history):
    """Back by a day, ahead by years, and to times that no calendar has."""
    log = history.log("one")
    log.started()
    for at in (START - 86400, START + 3 * 365 * 86400, -5.0, 1e15):
        log.now = at
        log.used()
        log.called()
    log.now = START + 60
    log.ended()
    log.release()
    row = history.row()
    assert (row["state"], row["duration_s"], row["total_tokens"]) == ("stopped", 12.0, 4800)
    with closing(history.open()) as opened:
        assert len(index_query.sums(opened, Wanted(), "day")) == 1
    assert len(history.minutes("one")) == 4


def test_times_that_are_none_keep_no_other_run_out(history: History):
    """A single line with an absurd time once made every later look at the history fail."""
    log = history.log("absurd")
    log.started()
    log.used()
    for at in (1e300, -1e300, 1e18, 9e99):
        log.now = at
        log.used(cpu=7.0)
    log.now = START + 9
    log.ended()
    log.release()
    history.finished("other")
    assert {row["run_id"]: row["state"] for row in history.rows()} == {"absurd": "stopped", "other": "stopped"}
    assert [minute["samples"] for minute in history.minutes("absurd")] == [1]

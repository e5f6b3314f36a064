"""Reading run logs: the faults that files have, the fast fold, and following."""

import os
import stat
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_logs import START, Log
from wrapper import until

from agentmon import ndjson
from agentmon.errors import AgentmonError
from agentmon.events import ActivityLog, Event, GitActivity, Lifecycle, ProcessMetrics, Tree
from agentmon.follow import LONGEST, Follower, Lines, last_lines
from agentmon.replay import fold_file, follow, read, records
from agentmon.telemetry import fold, telemetry_dict


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run_log(tmp_path: Path, name: str = "r1") -> Path:
    return tmp_path / "state" / "agentmon" / "runs" / f"{name}.ndjson"


def usual(path: Path) -> Log:
    log = Log(path)
    log.started()
    log.said("one")
    log.said("two", "warning", agent="helper")
    log.used()
    log.called(agent="helper")
    log.committed()
    log.said("ümlaut 漢字", "error")
    log.ended()
    log.release()
    return log


def replayed(path: Path) -> tuple[list[Event], list[str]]:
    said: list[str] = []
    events = list(read(str(path), said.append))
    assert telemetry_dict(fold_file(str(path), lambda text: None)) == telemetry_dict(fold(events))
    return events, [text.replace(str(path), "LOG") for text in said]


def test_all_events_come_in_order(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    events, said = replayed(log.path)
    assert [event.seq for event in events] == [*range(1, 9)]
    assert said == []
    assert [
        line for found in records(str(log.path), said.append) for _, line in found
    ] == log.path.read_bytes().splitlines()


FAULTS = {
    "cut in the middle of a line": (lambda b: b[2].__getitem__(slice(60)), "LOG:3: not an event:"),
    "not JSON": (lambda b: b"hello", "LOG:3: not an event:"),
    "zeros of a crashed file system": (lambda b: b"\0" * 50, "LOG:3: not an event:"),
    "JSON, but no object": (lambda b: b"[1,2]", "LOG:3: not an event: not a JSON object"),
    "an object, but no event": (lambda b: b"{}", "LOG:3: not an event:"),
    "no kind that is known": (lambda b: b[2].replace(b'"log_entry"', b'"\x1b[2Jx"'), "LOG:3: not an event:"),
    "a text for a number": (lambda b: b[2].replace(b'"seq":3', b'"seq":"3"'), "LOG:3: not an event: seq"),
    "a number for a text": (lambda b: b[2].replace(b'"two"', b"2"), "LOG:3: not an event: message"),
    "a wrong type below": (
        lambda b: b[3].replace(b'"processes":3', b'"processes":[]'),
        "LOG:3: not an event: processes",
    ),
    "invalid UTF-8": (lambda b: b[2].replace(b"two", b"t\xffo"), "LOG:3: not an event:"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_corrupt_line_is_named_and_the_rest_is_read(name: str, tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    lines = log.path.read_bytes().splitlines()
    make, expected = FAULTS[name]
    lines[2] = make(lines)
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    events, said = replayed(log.path)
    assert [event.seq for event in events] == [1, 2, 4, 5, 6, 7, 8]
    assert len(said) == 1
    assert said[0].startswith(expected)
    assert said[0].isprintable()
    told: list[str] = []
    fold_file(str(log.path), told.append)
    assert [text.replace(str(log.path), "LOG") for text in told] == said


def test_a_last_line_that_is_cut_is_told_and_one_without_newline_is_read(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-1])
    assert len(replayed(log.path)[0]) == 8
    log.path.write_bytes(whole[:-30])
    events, said = replayed(log.path)
    assert (len(events), said) == (7, ["LOG:8: the last line is cut short; the rest was read"])


def test_events_of_a_newer_version_are_read_as_far_as_known_and_said_once(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    newer = log.path.read_bytes().replace(b'{"v":1,', b'{"v":2,').replace(b'"message":', b'"tone":"calm","message":')
    thought = orjson.dumps({"v": 2, "event": "thought", "data": {}}) + b"\n"
    log.path.write_bytes(newer + thought)
    events, said = replayed(log.path)
    assert len(events) == 8
    assert said == ["LOG: has events of version 2; this agentmon knows 1 and reads what it knows of them"]


def test_an_empty_run_has_no_events(tmp_path: Path) -> None:
    path = run_log(tmp_path)
    path.parent.mkdir(parents=True)
    path.touch()
    assert replayed(path) == ([], [])


def test_a_batch_gives_its_events_and_a_snapshot_is_told(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    lines = log.path.read_bytes().splitlines()
    batch = b'{"v":1,"type":"agent_telemetry","event":"batch","data":{"events":[' + b",".join(lines[1:4]) + b",7]}}"
    snapshot = ndjson.snapshot(1, "r1", "crew", "blue", {}, 1.0)
    log.path.write_bytes(snapshot + batch + b"\n" + b"\n".join(lines[4:]) + b"\n")
    events, said = replayed(log.path)
    assert [event.seq for event in events] == [2, 3, 4, 5, 6, 7, 8]
    assert said[0] == "LOG: begins inside a run: what came before is not in its sums"
    assert said[1].startswith("LOG:2: not an event in a batch:")
    assert len(said) == 2


def test_garbage_does_not_fill_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"garbage\n" * 1000)
    events, said = replayed(path)
    assert events == []
    assert len(said) == 11
    assert said[-1] == "LOG: 990 more lines that are no events"


def test_labels_that_look_like_a_log_entry_are_none(tmp_path: Path) -> None:
    log = Log(run_log(tmp_path))
    log.write(Lifecycle("started", labels={"event": "log_entry", "level": "error"}))
    log.said('","event":"log_entry","data":{"activity_log":{"level":"error"')
    log.said("x")
    log.release()
    state = fold_file(str(log.path), pytest.fail)
    assert state.log_levels == {"info": 2}
    assert state.start is not None


PAYLOADS = st.one_of(
    st.builds(ActivityLog, st.just("2027-01-15T08:00:00.000000Z"), st.sampled_from(["info", "warning", "error"]),
              st.text(st.characters(exclude_categories=["Cs"])), st.just("orchestrator"), st.just("stdout")),
    st.builds(GitActivity, st.just("commit"), st.none() | st.text("ab\x1b", max_size=3)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PAYLOADS, st.sampled_from(["crew", "b", 'quo"te', "é"])), max_size=150))
def test_the_fast_fold_is_the_fold(tmp_path_factory: pytest.TempPathFactory, acts: list) -> None:
    path = tmp_path_factory.mktemp("p") / "log"
    events = [Event("r", i, agent, "t", payload, 100.0 + i) for i, (payload, agent) in enumerate(acts, 1)]
    path.write_bytes(b"".join(map(ndjson.encode, events)))
    assert telemetry_dict(fold_file(str(path), pytest.fail)) == telemetry_dict(fold(events))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.just(b'{"v":1}\n') | st.just(b"\n"), max_size=20))
def test_any_bytes_are_read_without_an_exception(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("p") / "log"
    path.write_bytes(b"".join(parts))
    assert replayed(path)[0] == []


@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\r", b"\n"))))
def test_lines_do_not_depend_on_the_blocks(blocks: list[bytes]) -> None:
    lines, found = Lines(), []
    for block in blocks:
        found += lines.feed(block)
    assert [*found, lines.rest] == b"".join(blocks).split(b"\n")


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines()
    for _ in range(LONGEST // (1 << 20) + 8):
        lines.feed(b"x" * (1 << 20))
    assert len(lines.rest) <= LONGEST + (1 << 20)


class Followed:
    """What `follow` gives, read step by step."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self.seqs: list[int] = []
        self._steps = follow(str(path), self.said.append)

    def step(self) -> list[int]:
        """What one look gives."""
        found = [event.seq for event in next(self._steps)]
        self.seqs += found
        return found

    def ends(self) -> bool:
        """Whether it ends within a few looks."""
        return until(self._ended)

    def _ended(self) -> bool:
        try:
            self.step()
        except StopIteration:
            return True
        return False


def test_following_gives_lines_as_they_come_and_ends_with_the_run(tmp_path: Path) -> None:
    log = Log(run_log(tmp_path))
    log.started()
    seen = Followed(log.path)
    assert seen.step() == [1]
    assert seen.step() == []
    line = log.line(Lifecycle("running"))
    log.raw(line[:30])
    assert seen.step() == []
    log.raw(line[30:])
    assert seen.step() == [2]
    log.ended()
    assert seen.step() == [3]
    assert seen.step() == []  # the lock is still held
    log.release()
    assert seen.ends()
    assert seen.said == []


def test_a_run_that_nobody_writes_any_more_is_lost(tmp_path: Path) -> None:
    log = Log(run_log(tmp_path))
    log.started()
    seen = Followed(log.path)
    assert seen.step() == [1]
    log.raw(b'{"v":1,"ty')
    log.release()
    assert seen.ends()
    assert any("cut short" in text for text in seen.said)
    assert "was lost" in seen.said[-1]


def test_following_goes_on_when_the_file_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmon.follow._RETIRED_S", 3600.0)
    path = tmp_path / "out.ndjson"
    log = Log(path, lock=False)
    log.started()
    seen = Followed(path)
    assert seen.step() == [1]
    path.rename(tmp_path / "out.ndjson.1")
    log.said("still to the old file")
    new = Log(path, run_id=log.run_id, lock=False)
    new.seq = log.seq
    new.said("to the new one")
    assert seen.step() == [2, 3]
    log.seq = 3
    log.said("late, to the old file")
    assert seen.step() == [4]
    new.seq = 4
    new.ended()
    assert seen.ends()
    assert seen.seqs == [1, 2, 3, 4, 5]


def test_following_goes_on_when_the_file_is_removed_and_when_it_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    log = Log(path, lock=False)
    log.started()
    log.said("a rather long line, so that the next one is shorter")
    seen = Followed(path)
    assert seen.step() == [1, 2]
    os.truncate(path, 0)
    log.said("x")
    assert seen.step() == [3]
    path.unlink()
    log.said("into a file without a name")
    assert seen.step() == [4]
    assert seen.step() == []
    log.ended()
    assert seen.ends()


def test_a_log_that_was_just_made_is_waited_for(tmp_path: Path) -> None:
    log = Log(run_log(tmp_path), lock=False)
    os.utime(log.path, (time.time() + 3600,) * 2)  # however long the next steps take
    seen = Followed(log.path)
    assert [seen.step() for _ in range(5)] == [[]] * 5
    os.utime(log.path, (time.time() - 3600,) * 2)
    assert seen.ends()
    log.release()


def test_a_log_in_a_folder_that_cannot_be_written_is_followed(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    log.path.chmod(stat.S_IRUSR)
    log.path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        seen = Followed(log.path)
        assert seen.ends()
        assert len(seen.seqs) == 8
    finally:
        log.path.parent.chmod(0o700)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("text", [b"", b"a", b"a\n", b"a\nb", b"a\nb\n", b"\n\n\n", b"a\n" * 40])
def test_the_last_lines_are_found_from_the_end(tmp_path: Path, text: bytes, count: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(text)
    offset, before = last_lines(str(path), count)
    lines = text.splitlines(keepends=True)
    count = max(count, 1) if text[-1:] != b"\n" else count  # a line that is being written is taken whole
    assert text[offset:] == b"".join(lines[max(0, len(lines) - count) :])
    assert before == max(0, len(lines) - count)


def test_the_last_lines_are_found_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes((b"y" * 3_000_000 + b"\n") * 3)
    assert last_lines(str(path), 2) == (3_000_001, 1)


def test_the_last_events_keep_their_line_numbers(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    lines = log.path.read_bytes().splitlines()
    lines[6] = b"broken"
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    said: list[str] = []
    assert [event.seq for found in records(str(log.path), said.append, last=2) for event, _ in found] == [8]
    assert said[0].startswith(f"{log.path}:7:")


def test_entries_that_nobody_wants_are_not_decoded(tmp_path: Path) -> None:
    log = usual(run_log(tmp_path))
    asked: list[tuple[str, str, float]] = []

    def wants(agent: str, level: str, at: float) -> bool:
        asked.append((agent, level, at))
        return level == "error"

    events = [event for found in records(str(log.path), pytest.fail, wants) for event, _ in found]
    assert [event.seq for event in events] == [1, 4, 5, 6, 7, 8]
    assert [(agent, level) for agent, level, _ in asked] == [("crew", "info"), ("helper", "warning"), ("crew", "error")]
    assert asked[0][2] == START + 1.0


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(AgentmonError):
            next(follow(str(path), pytest.fail))


def test_a_log_entry_without_its_end_is_told_by_the_fast_fold(tmp_path: Path) -> None:
    log = Log(run_log(tmp_path))
    log.started()
    log.said("one")
    log.raw(log.line(ActivityLog("2027-01-15T08:00:00.000000Z", "info", "two", "orchestrator", "stdout"))[:-30] + b"\n")
    log.said("three")
    log.release()
    said: list[str] = []
    assert fold_file(str(log.path), said.append).log_levels == {"info": 2}
    assert len(said) == 1
    assert said[0].startswith(f"{log.path}:3: not an event")


def test_the_lock_of_a_file_that_was_moved_says_nothing_of_the_one_that_is_there(tmp_path: Path) -> None:
    """A look at the lock between the two once made a run that went on a lost one."""
    log = Log(run_log(tmp_path))
    log.started()
    follower = Follower(str(log.path))
    assert len(follower.poll()) == 1
    assert follower.poll() == []
    log.path.rename(log.path.with_suffix(".1"))
    other = Log(log.path, log.run_id)
    log.release()
    assert not follower.over(False)  # sees that nobody holds the file that was moved
    other.said("on")
    assert len(follower.poll()) == 1
    assert follower.poll() == []
    assert not follower.over(False)
    follower.close()


@pytest.mark.parametrize(
    ("sampled", "end", "peak"),
    [([37.0], 508.4, 508.4), ([300.0, 120.0], 80.0, 300.0), ([], 9.5, 9.5), ([5.0], None, 5.0), ([], None, None)],
)
def test_peak_of_memory_is_of_the_tree_and_at_least_that_of_one_process(
    sampled: list[float], end: float | None, peak: float | None
) -> None:
    """A run of a second is sampled once, when it has not begun yet: what wait4(2) tells at the end counts too."""
    payloads = [ProcessMetrics(9, 1.0, 999.0, 1, "running", Tree(4, 1.0, 1.0, mb, 4, 0, 0)) for mb in sampled]
    payloads.append(ProcessMetrics(9, None, end, None, "dead", Tree(0, None, 2.0, None, None, 0, 0)))
    events = [Event("r", seq, "a", "t", payload, START + seq) for seq, payload in enumerate(payloads, 1)]
    assert fold(events).peak_memory_mb == peak

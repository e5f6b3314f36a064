"""`agentmon top`: statuses, cards that fit, keys, and the layout."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_logs import START, Log
from wrapper import until

from agentmon.events import Alert, Lifecycle, ProcessMetrics, Tree
from agentmon.feeds.logs import Going
from agentmon.follow import Follower
from agentmon.views.board import STALLED_S, Board, RunWatch, Samples
from agentmon.views.cards import LEAST_HEIGHT, LEAST_WIDTH, card
from agentmon.views.screen import _split
from agentmon.views.text import Ink, width
from agentmon.views.top import Choice, Frames, grid


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = Log(tmp_path / "state" / "agentmon" / "runs" / "r1.ndjson")
    log.started()
    return log


def watched(log: Log) -> RunWatch:
    watch = RunWatch(Follower(str(log.path)), pytest.fail)
    settle(watch)
    return watch


def settle(watch: RunWatch) -> None:
    while watch.poll():
        pass
    watch.poll()
    watch.poll()


def test_a_run_is_running_until_its_end_tells_how(log: Log) -> None:
    watch = watched(log)
    assert watch.status(log.now) == "running"
    log.ended(3)
    watch.poll()
    assert watch.status(log.now) == "error"
    log.release()
    until(lambda: settle(watch) or watch.over_at is not None)  # the lock is asked for four times a second
    assert watch.lasted(log.now + 99) == 12.0


def test_a_run_that_nobody_writes_any_more_is_lost(log: Log) -> None:
    log.release()
    assert watched(log).status(log.now) == "lost"


def test_a_run_whose_wrapper_was_killed_is_lost(log: Log) -> None:
    log.write(Lifecycle("error", duration_s=2.0, reason="the relay was killed; the child was sent SIGTERM"))
    log.release()
    assert watched(log).status(log.now) == "lost"


def test_a_run_that_neither_prints_nor_works_is_stalled(log: Log) -> None:
    log.said("x")
    watch = watched(log)
    assert watch.status(log.now + STALLED_S - 1) == "running"
    assert watch.status(log.now + STALLED_S + 1) == "stalled"
    log.now += STALLED_S
    log.used(cpu=0.0)
    watch.poll()
    assert watch.status(log.now + 1) == "stalled"
    log.used(cpu=90.0)
    watch.poll()
    assert watch.status(log.now + 1) == "running"
    log.write(Alert("stall", "critical", 300.0, 300.0, "warn"), agent="x")
    watch.poll()
    assert watch.status(log.now) == "stalled"
    log.said("again")
    watch.poll()
    assert watch.status(log.now) == "running"


def test_clock_jumps_are_no_stall_and_no_negative_times(log: Log) -> None:
    log.said("x")
    watch = watched(log)
    assert watch.status(log.now - 10_000) == "running"
    assert watch.lasted(log.now - 10_000) == 0.0


def test_cost_per_hour_is_of_the_last_minutes_and_unknown_at_first(log: Log) -> None:
    log.called()
    watch = watched(log)
    assert watch.totals.cost_usd == 0.25
    assert watch.cost_per_hour(START + 10) is None
    assert watch.cost_per_hour(START + 0.5 + 900) == pytest.approx(1.0, rel=0.01)
    log.called(cost=None)
    assert watch.sums == {"crew": watch.totals}


def test_the_end_of_the_processes_is_no_sample() -> None:
    samples = Samples()
    samples.take(ProcessMetrics(1, 1.0, 1.0, 1, "running", Tree(1, 5.0, 1.0, None, None, None, None)))
    samples.take(ProcessMetrics(1, 1.0, 1.0, 1, "dead", Tree(0, 0.0, 1.0, None, None, None, None)))
    assert ([*samples.cpu], [*samples.memory]) == ([5.0], [None])


def test_the_board_takes_up_runs_that_begin_and_passes_those_that_are_over(log: Log, tmp_path: Path) -> None:
    old = Log(log.path.with_name("r0.ndjson"))
    old.started()
    old.release()
    going = Going()
    board = Board(going, pytest.fail)
    board.poll()
    assert [item.agent.agent_id for item in board.shown()] == ["crew"]
    assert [*board.shown("red")] == []
    new = Log(log.path.with_name("r2.ndjson"), agent="late", team="red")
    new.started()
    going._scan_at = 0.0
    board.poll()
    assert [item.agent.agent_id for item in board.shown()] == ["crew", "late"]
    assert [item.agent.agent_id for item in board.shown("red")] == ["late"]
    board.close()


def full(log: Log) -> None:
    for number in range(12):
        log.used(cpu=number * 9.0)
        log.said(f"step {number} \x1b[2J\x1b]0;x\x07 漢字" * 9, "error" if number % 5 == 0 else "info")
        log.said("hm", agent="helper \x1b[31m👩‍👩‍👧")
    log.called()
    log.committed("Add it\x1b[2J")
    log.write(Alert("budget", "critical", 5.5, 5.0, "stop\x1b[2J"))


@settings(max_examples=60, deadline=None)
@given(st.integers(LEAST_WIDTH, 120), st.integers(LEAST_HEIGHT, 40), st.booleans(), st.text(max_size=60))
def test_a_card_has_exactly_its_size(
    tmp_path_factory: pytest.TempPathFactory, cells: int, rows: int, selected: bool, name: str
) -> None:
    name = name.encode("utf-8", "ignore").decode()
    log = Log(tmp_path_factory.mktemp("c") / "x.ndjson", agent=name, team=name)
    log.started()
    full(log)
    log.release()
    watch = watched(log)
    board = Board(Going(), pytest.fail)
    board._watches = {"x": watch}
    for shown in board.shown():
        drawn = card(shown, cells, rows, log.now, Ink(False), selected)
        assert len(drawn) == rows
        assert {width(row) for row in drawn} == {cells}
        assert not re.search("[\x00-\x1f\x7f-\x9f]", "".join(drawn))
        coloured = "".join(card(shown, cells, rows, log.now, Ink(True), selected))
        assert not re.search("[\x00-\x1f\x7f-\x9f]", re.sub("\x1b\\[[0-9;]*m", "", coloured))


@pytest.mark.parametrize(
    ("columns", "rows"), [(80, 24), (200, 50), (120, 30), (40, 12), (20, 6), (10, 3), (3, 2), (1, 1)]
)
@pytest.mark.parametrize("at_full_size", [False, True])
def test_a_frame_fits_every_terminal(log: Log, columns: int, rows: int, at_full_size: bool) -> None:
    full(log)
    board = Board(Going(), pytest.fail)
    while board.poll():
        pass
    choice = Choice(full=at_full_size, key=(str(log.path), "crew"))
    drawn = Frames(board, Ink(False)).frame(choice, columns, rows)
    assert len(drawn) == rows
    assert {width(row) for row in drawn if row} <= {columns}
    board.close()


GRIDS = [(1, 80, 22), (2, 80, 22), (6, 80, 22), (50, 80, 22), (10, 200, 48), (50, 200, 48), (3, 30, 10), (1, 200, 48)]


@pytest.mark.parametrize(("cards", "columns", "rows"), GRIDS)
def test_a_grid_fits_and_uses_the_room(cards: int, columns: int, rows: int) -> None:
    laid = grid(cards, columns, rows)
    assert laid.columns * laid.width <= columns
    assert laid.height <= rows
    assert laid.height >= LEAST_HEIGHT
    if columns >= 200:
        assert -(-cards // laid.columns) * laid.height <= rows


def chosen(*keys: str, **start: object) -> Choice:
    choice = Choice(keys=[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")], key=("a", "1"), columns=2, **start)  # type: ignore[arg-type]
    for key in keys:
        assert choice.press(key)
    return choice


MOVES = [
    (("j",), "b"),
    (("down",), "c"),
    (("down", "right"), "d"),
    (("k",), "a"),
    (("end", "k"), "c"),
    (("end", "down"), "d"),
    (("end", "home"), "a"),
    (("j", "j", "up"), "a"),
    (("x",), "a"),
]


@pytest.mark.parametrize(("keys", "expected"), MOVES)
def test_keys_select(keys: tuple[str, ...], expected: str) -> None:
    key = chosen(*keys).key
    assert key is not None
    assert key[0] == expected


def test_keys_open_close_and_filter() -> None:
    assert chosen("enter").full
    assert not chosen("enter", "escape").full
    assert chosen("enter", "up", "up", "down").scroll == 1
    typed = chosen("/", "q", "x", "backspace", "enter")
    assert (typed.filter, typed.typing) == ("q", False)
    assert chosen("/", "q", "escape").filter == ""
    assert not chosen().press("q")


KEYS = [
    (b"q", ["q"]),
    (b"jk", ["j", "k"]),
    (b"\x1b[A\x1b[B", ["up", "down"]),
    (b"\x1bOC", ["right"]),
    (b"\x1b", ["escape"]),
    (b"\r", ["enter"]),
    (b"\x7f", ["backspace"]),
    (b"\x1b[15~x", ["x"]),
    ("é".encode(), ["é"]),
    (b"a\rb", ["a", "enter", "b"]),
    (b"\x1b[1;5A", []),
    (b"\x1b[", []),
]


@pytest.mark.parametrize(("data", "expected"), KEYS)
def test_bytes_become_keys(data: bytes, expected: list[str]) -> None:
    assert [*_split(data)] == expected


@given(st.binary(max_size=30))
def test_any_bytes_can_be_typed(data: bytes) -> None:
    assert all(key for key in _split(data))


def test_a_card_is_drawn_anew_only_where_something_changed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    import agentmon.views.top as top

    drawn: list[str] = []
    real = top.card
    monkeypatch.setattr(top, "card", lambda *words: drawn.append("") or real(*words))
    monkeypatch.setattr(top.time, "time", lambda: START + 5)
    board = Board(Going(), pytest.fail)
    board.poll()
    frames = Frames(board, Ink(False))
    for _ in range(3):
        board.poll()
        frames.frame(Choice(), 80, 24)
    assert len(drawn) == 1
    log.write(Lifecycle("running"))
    board.poll()
    frames.frame(Choice(), 80, 24)
    assert len(drawn) == 2
    board.close()

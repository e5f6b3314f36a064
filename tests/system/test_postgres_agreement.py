"""The history in PostgreSQL: whatever comes, however often and in whatever order, it says what the run logs say."""

import random
import threading
import time
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from history_database import LONG_AGO, Database, Local, agree, event, said, some_runs
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon import index_query, ndjson
from agentmon.events import (
    ActivityLog,
    Alert,
    Event,
    Gap,
    GitActivity,
    Lifecycle,
    Payload,
    ProcessMetrics,
    TokenUsage,
    Tree,
)
from agentmon.fleet import folding, postgres, storing
from agentmon.fleet.arrivals import Arrival
from agentmon.index_query import Wanted

DATA = Path(__file__).parent.parent / "data"


COUNTS = st.none() | st.integers(0, 500)
FIGURES = st.none() | st.floats(0, 500, allow_nan=False).map(lambda x: round(x, 3))
USAGE = st.builds(
    TokenUsage, st.sampled_from([None, "m", "n[1m]", "n"]), COUNTS, COUNTS, COUNTS,
    st.none() | st.sampled_from([0.25, 0.1, 1]), COUNTS, COUNTS, COUNTS,
    scope=st.sampled_from(["call", "session"]), source=st.sampled_from(["output", "sdk", "otlp"]),
    call_id=st.sampled_from([None, "a", "b", "c"]), session_id=st.sampled_from([None, "s", "t"]),
    tool=st.sampled_from([None, "codex", "t"]), estimated=st.sampled_from([None, True]),
    models=st.none() | st.dictionaries(
        st.sampled_from(["m", "n"]),
        st.fixed_dictionaries({"input_tokens": COUNTS, "output_tokens": COUNTS, "cost_usd": st.none() | st.just(0.5)})),
    pid=st.sampled_from([None, 1, 2]), status=st.sampled_from([None, 200, 529]),
)  # fmt: skip
TREE = st.builds(Tree, st.integers(0, 50), FIGURES, FIGURES, FIGURES, COUNTS, COUNTS, COUNTS)
PAYLOADS: st.SearchStrategy[Payload] = st.one_of(
    USAGE, USAGE, USAGE,
    st.builds(ProcessMetrics, st.just(7), FIGURES, FIGURES, COUNTS, st.just("running"), TREE),
    st.builds(GitActivity, st.sampled_from(["commit", "merge", "push"]), source=st.sampled_from(["output", "trace2"])),
    st.builds(ActivityLog, st.just("2027-01-15T08:00:00.000000Z"), st.sampled_from(["info", "warning", "error"]),
              st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9),
              st.just("orchestrator"), st.just("stdout")),
    st.builds(Lifecycle, st.sampled_from(["started", "running", "stopped", "error"]), argv=st.just(("a", "\\b\t")),
              host=st.just("here"), exit_code=st.none() | st.integers(0, 3), duration_s=FIGURES, cpu_time_s=FIGURES,
              labels=st.none() | st.just({"z": "1", "a": "2"})),
    st.builds(Alert, st.just("cost"), st.just("warning"), FIGURES, FIGURES, st.just("warn")),
    st.builds(Gap, COUNTS, COUNTS, st.just("full")),
)  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """The events of one to three runs."""
    lines = []
    for name in draw(st.lists(st.sampled_from("pqr"), min_size=1, max_size=3, unique=True)):
        at, seq = LONG_AGO + draw(st.integers(0, 200_000)), 0
        for payload in draw(st.lists(PAYLOADS, min_size=1, max_size=25)):
            at, seq = at + draw(st.sampled_from([0.25, 7.1234567, 61])), seq + draw(st.sampled_from([1, 1, 1, 5]))
            agent = draw(st.sampled_from(["crew", "coder", "writer"]))
            lines.append(ndjson.encode(Event(name, seq, agent, "blue" if name < "r" else "", payload, at)).rstrip())
    return lines


@settings(max_examples=60, deadline=None)
@given(lines=streams(), chance=st.randoms(use_true_random=False), at_once=st.sampled_from([0, 5, 1000]))
def test_any_stream_in_any_order_agrees_with_the_run_logs(shared, tmp_path_factory, lines, chance, at_once):
    shared.empty()
    local = Local(tmp_path_factory.mktemp("state"))
    local.write(lines)
    coming = lines + chance.sample(lines, len(lines) // 3)  # some of it twice
    if chance.random() < 0.7:
        chance.shuffle(coming)
    before, storing._AT_ONCE = storing._AT_ONCE, at_once
    try:
        count = storing.Count()
        while coming:
            size = chance.randint(1, 20)
            count.add(shared.store(coming[:size]))
            coming = coming[size:]
    finally:
        storing._AT_ONCE = before
    assert folding.fold_left(shared.connection)
    assert (count.stored, count.rejected) == (len(lines), 0)
    agree(shared, local)


@pytest.mark.parametrize("path", sorted((DATA / "runs").glob("*.ndjson")), ids=lambda p: p.stem)
def test_sample_logs_agree(db, tmp_path, path):
    lines = path.read_bytes().splitlines()
    local = Local(tmp_path)
    local.write(lines)
    assert db.store(lines).stored == len(lines)
    agree(db, local)
    assert db.ask("SELECT count(*), count(DISTINCT seq) FROM agentmon.events") == [(len(lines), len(lines))]
    stored = db.ask("SELECT run_id, seq, team_id, agent_id, event, unix_time, data FROM agentmon.events ORDER BY seq")
    wire = [orjson.loads(line) for line in lines]
    names = ("run_id", "seq", "team_id", "agent_id", "event", "timestamp", "data")
    assert stored == [tuple(event[name] for name in names) for event in wire]


def test_many_copies_at_once(postgres_server, tmp_path):
    """Four copies store overlapping parts of the same runs, in different orders, while a fifth folds."""
    made = Database(postgres_server)
    chance = random.Random(7)
    lines = [line for run in "abcdef" for line in made_run(run, 150, chance)]
    local = Local(tmp_path)
    local.write(lines)
    counts, faults = [], []

    def copy(number: int) -> None:
        mine = [line for line in lines if chance.random() < 0.5 or hash(line) % 4 == number]
        chance.shuffle(mine)
        try:
            with closing(postgres.connect(made.where)) as connection:
                while mine:
                    part, mine = mine[:37], mine[37:]
                    counts.append(storing.store(connection, [Arrival("s", line) for line in part]))
                    folding.fold_left(connection)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert folding.fold_left(made.connection)
    assert sum(count.stored for count in counts) == len(lines)
    assert sum(count.rejected for count in counts) == 0
    assert sum(count.known for count in counts) > 0
    with closing(made.connection):
        agree(made, local)


def made_run(name: str, size: int, chance: random.Random) -> list[bytes]:
    payloads: list[Payload] = [Lifecycle("started", argv=("x",), labels={"run": name})]
    for number in range(size):
        usage = TokenUsage("m", number, 5, number + 5, 0.1, call_id=f"{name}{number}", source="sdk")
        payloads.append(chance.choice([
            usage, said(f"line {number}"), ProcessMetrics(7, 1.5, 10.0, 2, "running", Tree(3, 2.5, 1.5, 20.0, 9, 1, 2)),
            GitActivity("commit", "main"), Gap(1, 2, "full"),
        ]))  # fmt: skip
    payloads.append(Lifecycle("stopped", exit_code=0, duration_s=12.0))
    return [event(n, name, payload, chance.choice(["crew", "coder"])) for n, payload in enumerate(payloads, 1)]


WANTED = [
    Wanted(), Wanted(team="red"), Wanted(agent="crew"), Wanted(agent="coder"), Wanted(agent="nobody"),
    Wanted(labels=(("k", "v"),)), Wanted(labels=(("k", "v"), ("k2", "ü"))), Wanted(since=LONG_AGO + 90_000),
    Wanted(until=LONG_AGO + 90_000), Wanted(exit="ok"), Wanted(exit="failed"), Wanted(exit="3"), Wanted(min_cost=0.3),
]  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_same_answers_as_the_index_of_one_machine(db, tmp_path, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        local = Local(tmp_path)
        local.write(some_runs())
        db.store(some_runs())
        with closing(local.opened()) as opened:
            for wanted in WANTED:
                rows = index_query.runs(opened, wanted)
                assert index_query.runs(db.fleet, wanted) == rows
                assert [[*row] for row in rows] == [[*row] for row in index_query.runs(db.fleet, wanted)]
                assert index_query.runs(db.fleet, wanted, 1) == index_query.runs(opened, wanted, 1)
                assert index_query.count(db.fleet, wanted) == len(rows)
                for by in ("day", "team", "model", "agent"):
                    assert index_query.sums(db.fleet, wanted, by) == index_query.sums(opened, wanted, by)
            for name in "abcd":
                assert index_query.shortest(db.fleet, name) == index_query.shortest(opened, name)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_days_where_midnight_is_left_out(db, monkeypatch):
    """In Sao Paulo the clocks went from 23:59:59 on 2017-10-14 to 01:00 on the 15th."""
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        change = 1508036400
        for name, at in (("before", change - 1), ("after", change)):
            db.store([event(1, name, at=at - 1)])
        days = [row["day"] for row in index_query.sums(db.fleet, Wanted(), "day")]
        assert days == ["2017-10-15", "2017-10-14"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_empty_history(db):
    for by in ("day", "team", "model", "agent"):
        assert index_query.sums(db.fleet, Wanted(), by) == []
    assert index_query.runs(db.fleet, Wanted()) == []

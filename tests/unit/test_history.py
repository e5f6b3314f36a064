"""History as text: rows and bars that fit, JSON and CSV; and which runs are chosen."""

import csv
import io
import json
from contextlib import closing
from pathlib import Path

import pytest
from run_logs import START, Log

from agentmon import index, index_query, indexing
from agentmon.events import Lifecycle, TokenUsage
from agentmon.index_query import Wanted
from agentmon.views import history as view
from agentmon.views.figures import size
from agentmon.views.text import Ink, width

DAY = 86400.0


def make(folder: Path, name: str, *, code: int | None = 0, team="blue", agent="crew", days=0.0, cost=0.25, **labels):
    log = Log(folder / "agentmon" / "runs" / f"{name}.ndjson", team=team, agent=agent)
    log.now += days * DAY
    log.write(Lifecycle("started", argv=("x",), labels=labels or None))
    log.called(cost=cost)
    log.write(TokenUsage("other", 10, 5, 15, None, source="sdk", call_id="o"), agent="helper")
    if code is not None:
        log.ended(code)
    log.release()


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    make(tmp_path, "a")
    make(tmp_path, "b", code=3, team="red", days=1, cost=2.0, k="v")
    make(tmp_path, "c", code=None, agent="\x1b[31m代理", days=2, cost=None, k="w", x="v")
    make(tmp_path, "d", days=2.1, cost=None)
    with closing(index.open_index(lambda _: None)) as found:
        indexing.bring_up_to_date(found, lambda _: None)
        yield found


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), "dcba"),
        (Wanted(team="red"), "b"),
        (Wanted(agent="crew"), "dba"),
        (Wanted(agent="helper"), "dcba"),
        (Wanted(agent="nobody"), ""),
        (Wanted(labels=(("k", "v"),)), "b"),
        (Wanted(labels=(("k", "w"), ("x", "v"))), "c"),
        (Wanted(labels=(("k", "v"), ("x", "v"))), ""),
        (Wanted(since=START + DAY), "dcb"),
        (Wanted(until=START + DAY), "a"),
        (Wanted(since=START + DAY, until=START + 2 * DAY), "b"),
        (Wanted(exit="ok"), "da"),
        (Wanted(exit="failed"), "cb"),
        (Wanted(exit="3"), "b"),
        (Wanted(exit="0"), "da"),
        (Wanted(min_cost=0.25), "ba"),
        (Wanted(min_cost=0.26), "b"),
    ],
)
def test_which_runs(opened, wanted, names):
    assert "".join(row["run_id"] for row in index_query.runs(opened, wanted)) == names
    assert index_query.count(opened, wanted) == len(names)
    assert [row["run_id"] for row in index_query.runs(opened, wanted, 1)] == [*names[:1]]


def test_sums_add_up(opened):
    runs = index_query.runs(opened, Wanted())
    for by in ("day", "team", "model", "agent"):
        rows = index_query.sums(opened, Wanted(), by)
        for name in ("input_tokens", "output_tokens", "total_tokens", "cost_usd", "calls"):
            assert sum(row[name] or 0 for row in rows) == sum(run[name] or 0 for run in runs), (by, name)
    days = index_query.sums(opened, Wanted(), "day")
    assert [row["day"] for row in days] == sorted((row["day"] for row in days), reverse=True)
    red, blue = index_query.sums(opened, Wanted(), "team")
    assert (red["team"], red["runs"], red["failed"], red["cost_usd"]) == ("red", 1, 1, 2.0)
    assert (blue["runs"], blue["failed"], blue["cost_unknown"]) == (3, 1, 2)
    models = {row["model"]: row for row in index_query.sums(opened, Wanted(), "model")}
    assert models["other"]["cost_usd"] is None
    assert models["other"]["calls"] == 4


@pytest.mark.parametrize("cells", [40, 80, 120, 200, None])
def test_rows_fit(opened, cells):
    rows = index_query.runs(opened, Wanted())
    ids = [f"2026112{n}T120000123" for n in range(4)]
    lines = [*view.table(rows, ids, cells, Ink(False))]
    assert len(lines) == 5
    assert not any("\x1b" in line for line in lines)
    if cells is not None:
        assert max(map(width, lines)) <= cells
    if cells != 40:
        assert "RUN" in lines[0]
        assert all(name in line for name, line in zip(ids, lines[1:], strict=True))
        assert "lost" in lines[2]
        assert "exit 3" in lines[3]
    for by in ("day", "team", "model", "agent"):
        sums = index_query.sums(opened, Wanted(), by)
        lines = [*view.bars(sums, by, cells, Ink(False))]
        assert max(map(width, lines)) <= (cells or 200)
        assert "\x1b" not in "".join(lines)


def test_unknown_is_not_nothing(opened):
    text = "\n".join(view.bars(index_query.sums(opened, Wanted(), "team"), "team", 80, Ink(False)))
    assert "$0.2500+" in text
    assert "and more" in text
    assert "$0.00" not in text
    assert (
        view.as_csv([{"a": None, "b": {"k": "v,w"}, "c": 1.5}], ["a", "b", "c"]) == 'a,b,c\n,"{""k"": ""v,w""}",1.5\n'
    )


def test_json_and_csv_hold_the_same(opened):
    rows = index_query.runs(opened, Wanted())
    assert json.loads(view.as_json(rows)) == rows
    assert json.loads(view.as_json([])) == []
    names = index_query.names(None)
    assert set(names) == set(rows[0])
    read = [*csv.DictReader(io.StringIO(view.as_csv(rows, names)))]
    assert [row["run_id"] for row in read] == ["d", "c", "b", "a"]
    assert read[2]["cost_usd"] == "2.0"
    assert read[1]["cost_usd"] == ""
    for by in ("day", "team", "model", "agent"):
        assert set(index_query.names(by)) == set(index_query.sums(opened, Wanted(), by)[0])


def test_the_shortest_beginning(opened):
    opened.db.execute("UPDATE runs SET name = '20261122T1-' || name")
    assert index_query.shortest(opened, "20261122T1-b") == "20261122T1-b"
    opened.db.execute("DELETE FROM runs WHERE name NOT LIKE '%a'")
    assert index_query.shortest(opened, "20261122T1-a") == "2"


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KiB"), (3 << 30, "3.0 GiB")])
def test_sizes(number, text):
    assert size(number) == text

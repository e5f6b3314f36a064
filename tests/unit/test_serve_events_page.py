"""Pages of events: forwards and backwards exactly the events there are, each once, in order, also while a log grows."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from unittest import mock

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon import ndjson
from agentmon.decoder import Decoder
from agentmon.events import ActivityLog, Alert, Event, Gap, GitActivity, Lifecycle, ProcessMetrics, TokenUsage, Tree
from agentmon.replay import fold_file
from agentmon.views.serve import events_page, outline
from agentmon.views.serve.events_page import START, Pager
from agentmon.views.serve.outline import Outline, Skimmer, read_block
from agentmon.views.serve.reading import Reading
from agentmon.views.serve.wanted import Wanted

ISO = "2026-11-22T10:00:00.000000Z"

agents = st.sampled_from(["crew.py", "a/b", "größe", 'say "hi"', "\x01\n", "reviewer"])
words = st.one_of(
    st.sampled_from(
        ["plan", "PLAN b", "Größe", "GRÖSSE", 'a "quoted" \\ one', "tab\there", "\x1b[31mred", "n", "nn", "K"]
    ),
    st.text(max_size=12),
)
levels = st.sampled_from(["info", "info", "info", "warning", "error"])
times = st.one_of(st.floats(1.7e9, 1.7e9 + 100), st.sampled_from([5.0, 1.7e9, 1.7e12, -3.5, 1.7e9 + 0.123456]))
payloads = st.one_of(
    st.builds(lambda level, text: ActivityLog(ISO, level, text, "orchestrator", "stdout"), levels, words),
    st.builds(lambda level, text: ActivityLog(ISO, level, text, "orchestrator", "stdout"), levels, words),
    st.builds(lambda text: GitActivity("commit", "main", text), words),
    st.just(ProcessMetrics(7, 1.0, 2.0, 3, "running", Tree(1, 1.0, None, 2.0, 3, 0, 0))),
    st.just(TokenUsage("m", 1, 2, 3)),
    st.just(Alert("cost", "warning", 1.0, 2.0, "told")),
    st.just(Lifecycle("running", labels={"event": "log_entry"})),
)
numbers = count(1)
events = st.builds(
    lambda payload, agent, time: Event("r-1", next(numbers), agent, "web", payload, time), payloads, agents, times
)


def _batch(of: list[Event]) -> bytes:
    inner = [ndjson.event_dict(event) for event in of]
    return orjson.dumps(
        {"v": 1, "type": "agent_telemetry", "run_id": "r-1", "event": "batch", "data": {"events": inner}}
    )


lines = st.one_of(
    events.map(lambda event: ndjson.encode(event).rstrip(b"\n")),
    events.map(lambda event: ndjson.encode(event).rstrip(b"\n")),
    events.map(lambda event: ndjson.encode(event).rstrip(b"\n")),
    events.map(lambda event: json.dumps(ndjson.event_dict(event)).encode()),  # another writer's form
    st.lists(events, max_size=4).map(_batch),
    st.sampled_from([b"", b"\0\0", b"not JSON", b'{"v":1}', b'{"v":1,"type":"agent_telemetry","run_id":"r-1","seq":']),
    events.map(lambda event: ndjson.encode(event)[: -20 - event.seq % 40]),  # cut
)
some = st.booleans()


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[bytes], Wanted]:
    """A log, and what is wanted of it: mostly something that is there."""
    log = draw(st.lists(lines, min_size=draw(st.sampled_from([0, 8])), max_size=30))
    decoder = Decoder("", lambda _: None)
    there = [event for line in log for event in decoder.events(line)]
    features = draw(st.sets(st.sampled_from(["event", "agent", "level", "text", "since", "until"]), max_size=2))
    if not there:
        return log, Wanted(text="x") if features else Wanted()
    like = draw(st.sampled_from(there))
    entry = like.payload if isinstance(like.payload, ActivityLog) else None
    message = entry.message if entry else ""
    begin = draw(st.integers(0, len(message)))
    other = draw(st.sampled_from([None, None, "error", "warning"]))
    return log, Wanted(
        events=frozenset({like.payload.event} if "event" in features else ()),
        agents=frozenset({like.agent_id, *draw(st.sets(agents, max_size=1))} if "agent" in features else ()),
        levels=frozenset({other or (entry.level if entry else "info")} if "level" in features else ()),
        text=message[begin : begin + draw(st.integers(0, 3))].swapcase() if "text" in features else "",
        since=like.timestamp if "since" in features else None,
        until=like.timestamp + draw(st.sampled_from([0.0, 1.0, 1e9])) if "until" in features else None,
    )


def expected(data: bytes, wanted: Wanted) -> list[int]:
    """The numbers of all wanted events, by the plain way."""
    decoder = Decoder("", lambda _: None)
    return [e.seq for line in data.split(b"\n") for e in decoder.events(line) if wanted.takes(e)]


@contextmanager
def log_of(data: bytes, block: int = 1 << 19) -> Iterator[Path]:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(outline, "BLOCK", block),
        mock.patch.object(events_page, "BLOCK", block),
    ):
        path = Path(folder, "log.ndjson")
        path.write_bytes(data)
        yield path


def outlined(path: Path) -> Outline:
    skimmer = Skimmer()
    fd = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while (found := read_block(fd, at))[0]:
            skimmer.take(found[0], found[1] - at)
            at = found[1]
    finally:
        os.close(fd)
    return skimmer.outline


@contextmanager
def pager_of(path: Path, wanted: Wanted, known: Outline | None = None) -> Iterator[Pager]:
    pager = Pager(os.open(path, os.O_RDONLY), wanted, known)
    try:
        yield pager
    finally:
        pager.close()


def seqs(page_lines: list[bytes]) -> list[int]:
    return [json.loads(line)["seq"] for line in page_lines]


@settings(max_examples=150, deadline=None)
@given(asked(), st.integers(1, 7), st.sampled_from([64, 700, 1 << 19]), some, some, some)
def test_pages_are_exactly_the_events(log_and_wanted, limit, block, has_outline, hurried, ended):
    log, wanted = log_and_wanted
    data = b"\n".join(log) + (b"\n" if ended and log else b"")
    budget = 0.0 if hurried else 10.0
    with log_of(data, block) as path:
        known = outlined(path) if has_outline else None
        whole = expected(data, wanted)
        forwards: list[int] = []
        at = START
        for _ in range(len(data) + 2):
            with pager_of(path, wanted, known) as pager:
                page = pager.forwards(at, None, limit, budget)
            assert len(page.lines) <= limit
            assert page.complete or hurried
            forwards += seqs(page.lines)
            at = page.newer
            if not page.has_newer:
                break
        assert forwards == whole
        assert page.newer[0] <= len(data)

        backwards: list[int] = []
        before = None
        for _ in range(len(data) + 2):
            with pager_of(path, wanted, known) as pager:
                page = pager.backwards(before, None, limit, budget)
            backwards = seqs(page.lines) + backwards
            before = page.older
            if not page.has_older:
                break
        assert backwards == whole

        with pager_of(path, wanted, known) as pager:
            chunks = b"".join(pager.chunks(START, None, None))
        assert seqs(chunks.split(b"\n")[:-1]) == whole
        with pager_of(path, Wanted(), known) as pager:
            everything = b"".join(pager.chunks(START, None, None))
        assert seqs(everything.split(b"\n")[:-1]) == expected(data, Wanted())


@settings(max_examples=60, deadline=None)
@given(asked(), st.integers(1, 5), st.integers(0, 60), st.integers(0, 60))
def test_each_place_parts_the_events(log_and_wanted, limit, one, other):
    """What is before a place and what is after it are all, and so is what is between two places."""
    log, wanted = log_and_wanted
    data = b"\n".join(log) + b"\n"
    with log_of(data, 300) as path, pager_of(path, wanted) as pager:
        whole = expected(data, wanted)
        low, high = sorted(n % (len(whole) + 1) for n in (one, other))
        first = pager.forwards(START, None, low, 10) if low else None
        a = first.newer if first else START
        rest = pager.forwards(a, None, max(1, high - low), 10)
        b = rest.newer if high > low else a
        assert seqs(pager.forwards(a, None, 1000, 10).lines) == whole[low:]
        assert seqs(pager.backwards(a, None, 1000, 10).lines) == whole[:low]
        between = pager.forwards(a, b, 1000, 10)
        assert seqs(between.lines) == whole[low:high]
        assert not between.has_newer
        assert seqs(pager.backwards(b, a, 1000, 10).lines) == whole[low:high]
        assert seqs(pager.backwards(b, a, limit, 10).lines) == whole[low:high][-limit:]


@settings(max_examples=80, deadline=None)
@given(asked(), st.integers(1, 5), st.lists(st.integers(1, 400), max_size=12), some)
def test_a_log_that_grows_is_read_on(log_and_wanted, limit, steps, has_outline):
    """A reader that asks for what came since gets each event once, however the writes were cut."""
    log, wanted = log_and_wanted
    data = b"\n".join(log) + b"\n"
    with log_of(b"", 300) as path:
        got: list[int] = []
        at, written = START, 0
        for step in [*steps, len(data), 0]:
            with path.open("ab") as file:
                file.write(data[written : written + step])
            written = min(len(data), written + step)
            known = outlined(path) if has_outline else None
            more = True
            while more:
                with pager_of(path, wanted, known) as pager:
                    page = pager.forwards(at, None, limit, 10)
                got += seqs(page.lines)
                at, more = page.newer, page.has_newer
        assert got == expected(data, wanted)


@settings(max_examples=100, deadline=None)
@given(st.lists(events, min_size=1, max_size=60), st.sampled_from([300, 1 << 19]), st.integers(1, 3))
def test_what_is_read_is_the_fold(found, block, kept):
    """Log entries that are passed over change nothing of what is shown."""
    found = [Event("r-1", n, e.agent_id, "web", e.payload, abs(e.timestamp)) for n, e in enumerate(found, 1)]
    data = b"".join(map(ndjson.encode, found))
    with log_of(data, block) as path, mock.patch.object(outline, "_KEPT", 100 * kept):
        reading = Reading(str(path))
        try:
            reading.read_on()
            told = fold_file(str(path), lambda _: None)
            assert reading.totals == told.usage.totals()
            assert reading.state.git_operations == told.git_operations
            assert {a: [*t.activity_logs] for a, t in reading.state.agents.items()} == {
                a: [*t.activity_logs] for a, t in told.agents.items()
            }
            assert reading.outline.end == len(data)
            for number, offset in enumerate(reading.outline.offsets):
                _, begin, end = reading.outline.block(offset)
                times = [e["timestamp"] for e in map(json.loads, data[begin:end].split(b"\n")[:-1])]
                assert reading.outline.since[number] <= min(times)
                assert reading.outline.until[number] >= max(times)
        finally:
            reading.close()


def test_many_plain_entries_are_passed_over(tmp_path: Path):
    """The last hundred entries of each agent are there, and nothing of what the others add up to is lost."""
    path = tmp_path / "log.ndjson"
    seq = count(1)

    def entry(agent: str, text: str, level: str = "info") -> bytes:
        log = ActivityLog(ISO, level, text, "orchestrator", "stdout")  # type: ignore[arg-type]
        return ndjson.encode(Event("r-1", next(seq), agent, "web", log, 1.7e9 + next(seq) / 10))

    parts = []
    for n in range(6):
        parts += [entry("a", f"{n} {i}") for i in range(700)]
        parts.append(entry("a", "oh", "error"))
        parts += [entry("bb", f"{n} {i}") for i in range(150 * (n % 2))]
        parts.append(ndjson.encode(Event("r-1", next(seq), "a", "web", TokenUsage("m", 1, 2, 3), 1.7e9)))
    path.write_bytes(b"".join(parts))
    skimmer = Skimmer()
    data = path.read_bytes()
    assert len(skimmer.take(data, len(data))) < data.count(b"\n") / 2
    reading = Reading(str(path))
    reading.read_on()
    told = fold_file(str(path), lambda _: None)
    assert {a: [*t.activity_logs] for a, t in reading.state.agents.items()} == {
        a: [*t.activity_logs] for a, t in told.agents.items()
    }
    assert reading.totals == told.usage.totals()
    reading.close()


def test_an_outline_leaves_out_no_kind_and_no_time():
    """Each event in a block of its own: what is asked for is found there, and the other blocks are not read."""
    of = [ActivityLog(ISO, level, "x", "orchestrator", "stdout") for level in ("info", "error", "warning", "info")]  # type: ignore[arg-type]
    of += [GitActivity("commit"), TokenUsage("m", 1, 2, 3), Alert("x", "warning", None, None, "told"), Gap(1, 1, "x")]
    of += [Lifecycle("running"), ProcessMetrics(7, 1.0, 2.0, 3, "running", Tree(1, 1.0, None, 2.0, 3, 0, 0))]
    log = [Event("r-1", n, "a", "web", payload, 1.7e9 + 10 * n) for n, payload in enumerate(of, 1)]
    asked = [Wanted(events=frozenset({payload.event})) for payload in of]
    asked += [Wanted(levels=frozenset({level})) for level in ("info", "warning", "error")]
    asked += [Wanted(since=1.7e9 + 10 * n, until=1.7e9 + 10 * n + 1) for n in range(len(of) + 2)]
    data = b"".join(map(ndjson.encode, log))
    with log_of(data, 64) as path:
        known = outlined(path)
        assert len(known.offsets) == len(of)
        for wanted in asked:
            whole = expected(data, wanted)
            blocks = zip(known.since, known.until, known.kinds, strict=True)
            assert sum(wanted.takes_block(*block) for block in blocks) == len(whole), wanted
            with pager_of(path, wanted, known) as pager:
                assert seqs(pager.forwards(START, None, 100).lines) == whole
                assert seqs(pager.backwards(None, None, 100).lines) == whole


def test_a_line_too_long_to_be_an_event_is_passed_over(tmp_path: Path):
    with (
        log_of(b"", 4096) as path,
        mock.patch.object(outline, "LONGEST", 1 << 15),
        mock.patch.object(events_page, "LONGEST", 1 << 15),
    ):
        good = [
            ndjson.encode(Event("r-1", n, "a", "web", Alert("x", "warning", None, None, "told"), 1.0)) for n in (1, 2)
        ]
        path.write_bytes(good[0] + b"x" * (1 << 17) + b"\n" + good[1])
        with pager_of(path, Wanted()) as pager:
            assert seqs(pager.forwards(START, None, 10, 10).lines) == [1, 2]
            assert seqs(pager.backwards(None, None, 10, 10).lines) == [1, 2]


def test_a_search_is_bounded_and_goes_on(tmp_path: Path):
    """Without time a page is one block, and says how far it came."""
    text = "x" * 200
    data = b"".join(
        ndjson.encode(Event("r-1", n, "a", "web", ActivityLog(ISO, "info", text, "orchestrator", "stdout"), 1.0))
        for n in range(200)
    )
    with log_of(data, 2048) as path, pager_of(path, Wanted(text="not there")) as pager:
        page = pager.forwards(START, None, 10, 0.0)
        assert (page.lines, page.complete, page.has_newer) == ([], False, True)
        assert 0 < page.newer[0] <= 2048
        pages = 1
        while page.has_newer:
            page = pager.forwards(page.newer, None, 10, 0.0)
            pages += 1
        assert page.complete
        assert page.newer[0] == len(data)
        assert pages > 10


@pytest.mark.parametrize(
    ("text", "message"),
    [("PLAN", "the plan"), ("größe", "Die größe"), ('"q"', 'a "q" b'), ("\\", "a\\b"), ("\n", "a\nb")],
)
def test_text_is_found_in_the_message_and_nowhere_else(tmp_path: Path, text: str, message: str):
    found = Event("r-1", 1, "a", "web", ActivityLog(ISO, "info", message, "orchestrator", "stdout"), 1.0)
    other = Event("r-1", 2, text + "x", "web", ActivityLog(ISO, "info", "nothing n", "orchestrator", "stdout"), 1.0)
    with log_of(ndjson.encode(found) + ndjson.encode(other)) as path, pager_of(path, Wanted(text=text)) as pager:
        assert seqs(pager.forwards(START, None, 10).lines) == [1]
